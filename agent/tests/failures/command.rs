//! `narrows failures`.

use super::{
    Mesh, PATIENCE, awaits,
    common::{binary, inventory, turn, v4},
    wait,
};
use jiff::{Timestamp, Unit};
use narrows::failures::Failure;
use narrows_testbed::{agent::Agent, command, load::Plan, process};
use nix::sys::signal::Signal;
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// The command as a process.
struct Follower {
    child: process::Child,
    lines: Receiver<String>,
    remarks: Arc<Mutex<String>>,
}

impl Follower {
    fn start(agent: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["failures", "--follow", "--agent", &format!("http://{agent}")]);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(&mut command, None, None).expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let remarks = Arc::<Mutex<String>>::default();
        let heard = remarks.clone();
        thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(n @ 1..) = stderr.read(&mut piece) {
                heard
                    .lock()
                    .expect("sound")
                    .push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        Self { child, lines, remarks }
    }

    #[track_caller]
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    fn said(&self) -> String {
        self.remarks.lock().expect("sound").clone()
    }

    #[track_caller]
    fn says(&self, what: &str) {
        let said = wait::until(what, PATIENCE, || self.said().contains(what).then_some(()));
        said.unwrap_or_else(|error| panic!("{error}: {}", self.said()));
    }
}

fn run(agent: &str, arguments: &[&str]) -> Output {
    let mut narrows = Command::new(binary());
    narrows.args(["failures", "--agent", agent]).args(arguments);
    command::output(&mut narrows).expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn call(mesh: &Mesh, n: u64) {
    assert_eq!(mesh.checkout.run(|| Plan::burst(v4(2, 15099), n).run()).refused, n);
}

const OURS: [&str; 2] = ["--workload", "shop/checkout"];

#[test]
fn a_failure_is_on_the_screen_long_before_the_next_tick() {
    let mesh = Mesh::new(&["--interval", "60"]);
    let follower = Follower::start(mesh.agent.address(), &OURS);
    let header = follower.line();
    for _ in 0..3 {
        call(&mesh, 1);
        let line = follower
            .lines
            .recv_timeout(Duration::from_secs(10))
            .expect("before the next tick");
        let failed: Timestamp = line[..24].parse().expect("a time");
        let after = (Timestamp::now() - failed).total(Unit::Millisecond).expect("a time");
        println!("on the screen {after:.0} ms after it failed");
        for (column, expected) in [
            ("REASON", "refused"),
            ("SEEN BY", "client"),
            ("POINT", "shop/waypoint"),
            ("FROM", "shop/checkout 10.90.0.11:"),
            ("TO ", "shop/waypoint 10.90.0.2:15099"),
        ] {
            let at = header.find(column).expect("a column");
            assert!(line[at..].starts_with(expected), "{column}:\n{header}\n{line}");
        }
    }
    assert_eq!(follower.said(), "");
}

#[test]
fn what_the_agent_has_is_shown_and_filtered() {
    let mesh = Mesh::new(&[]);
    let agent = format!("http://{}", mesh.agent.address());
    let output = run(&agent, &OURS);
    assert!(output.status.success());
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        (
            String::new(),
            format!("narrows: the agent at {agent} knows of no failed connection of this kind\n")
        )
    );
    call(&mesh, 4);
    let told = awaits(&mesh.agent, "workload=shop/checkout", 4);

    let output = run(&agent, &OURS);
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 5, "{lines}");
    assert!(lines.starts_with("TIME "), "{lines}");
    let output = run(
        &agent,
        &["--json", "--since=1h", "--reason=refused", "--point=shop/waypoint"],
    );
    let found: Vec<Failure> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a failure"))
        .collect();
    assert_eq!(found, told);
    let output = run(&agent, &["--json", "--reason=timed_out", OURS[0], OURS[1]]);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn it_waits_for_an_agent_that_is_restarted() {
    let mesh = Mesh::new(&["--interval", "60"]);
    let address = mesh.agent.address();
    let follower = Follower::start(address, &["--json", "--since", "1h", OURS[0], OURS[1]]);
    let failure = |line: String| serde_json::from_str::<Failure>(&line).expect("a failure");
    call(&mesh, 1);
    failure(follower.line());
    let Mesh {
        agent,
        checkout,
        waypoint,
        _world,
    } = mesh;
    agent.stop().expect("it ends");
    follower.says(&format!("narrows: the agent at http://{address} is unreachable ("));
    let inventory = inventory(&[&checkout], &[&waypoint]);
    let agent = Agent::start_on(binary(), &inventory, address, &["--interval", "60"]).expect("it starts");
    // This one may have happened before the command has found the agent again.
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15098), 1).run()).refused, 1);
    let second = failure(follower.line());
    assert_eq!(second.service_port, 15098, "{second:?}");
    follower.says("is back; it has been restarted\n");
    assert_eq!(follower.said().lines().count(), 2, "{}", follower.said());
    assert!(follower.lines.try_recv().is_err());
    drop(agent);
}

#[test]
fn it_ends_when_it_is_told_to_and_when_nobody_reads() {
    let mesh = Mesh::new(&["--interval", "60"]);
    let mut follower = Follower::start(mesh.agent.address(), &OURS);
    follower.line();
    follower.child.signal(Signal::SIGINT);
    let status = follower.child.ended(PATIENCE).expect("it ends");
    assert_eq!((status.code(), follower.said()), (Some(0), String::new()));

    let mut follower = Follower::start(mesh.agent.address(), &OURS);
    follower.line();
    // The thread that reads goes with the next line, and the pipe with it.
    follower.lines = mpsc::channel().1;
    let ended = wait::until("its end", PATIENCE, || {
        call(&mesh, 1);
        follower.child.try_wait().expect("a child")
    });
    assert_eq!(
        (ended.expect("it ends").code(), follower.said()),
        (Some(0), String::new())
    );
}

#[test]
fn without_an_agent_it_says_what_to_do() {
    let _turn = turn();
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let agent = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    for arguments in [&[][..], &["--follow"], &["--json"]] {
        let output = run(&agent, arguments);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert!(
            said.starts_with(&format!("narrows: cannot reach the agent at {agent}: ")) && said.lines().count() == 1,
            "{said}"
        );
        for word in ["refused", "start `narrows agent`", "--agent"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    let output = run(&agent, &["--reason", "refuse"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("possible values: refused, timed_out, unreachable, cancelled"),
        "{said}"
    );
}
