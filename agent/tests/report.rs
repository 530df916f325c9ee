//! `narrows report` where it cannot report: one sentence that says what to do, and exit code 1. Needs no root.

use narrows_testbed::command;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
};

/// What the program says on stderr, given that it ends with 1.
#[track_caller]
fn refusal(arguments: &[&str]) -> String {
    let mut narrows = Command::new(env!("CARGO_BIN_EXE_narrows"));
    narrows.arg("report").args(arguments);
    for variable in ["NARROWS_AGENT", "NARROWS_PROMETHEUS_TOKEN"] {
        narrows.env_remove(variable);
    }
    let output = command::output(&mut narrows).expect("it starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "nothing that looks like a report");
    said
}

/// Answers every request with the same, until the test ends. Gives back what was asked.
fn answering(status: &str, body: &str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let address = listener.local_addr().expect("an address");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (asked, questions) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(n @ 1..) => request.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let _test_is_over = asked.send(String::from_utf8_lossy(&request).into_owned());
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    (address, questions)
}

#[test]
fn nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let url = format!("http://{free}");
    for source in ["--prometheus", "--agent"] {
        let said = refusal(&[source, &url]);
        assert!(
            said.starts_with(&format!("narrows: nobody answers at {url}: ")),
            "{said}"
        );
    }
    let said = refusal(&["--prometheus", "prometheus:9090"]);
    assert!(
        said.contains("is no URL that can be asked: write http://HOST:PORT"),
        "{said}"
    );
}

#[test]
fn somebody_else_answers() {
    let (address, _questions) = answering("200 OK", "<html>hello</html>");
    let url = format!("http://{address}");
    let said = refusal(&["--prometheus", &url]);
    assert!(said.contains("does not answer as a Prometheus does"), "{said}");
    let said = refusal(&["--agent", &url]);
    assert!(said.contains("no series of Narrows; is it the right one"), "{said}");
    let (address, _questions) = answering("404 Not Found", "no");
    let said = refusal(&["--agent", &format!("http://{address}")]);
    assert!(said.contains("is it an agent of Narrows?"), "{said}");
}

#[test]
fn prometheus_refuses() {
    let (address, _questions) = answering("401 Unauthorized", "who are you?");
    let said = refusal(&["--prometheus", &format!("http://{address}")]);
    assert!(
        said.contains("give a token by --token-file or NARROWS_PROMETHEUS_TOKEN"),
        "{said}"
    );
    let body = r#"{"status":"error","errorType":"bad_data","error":"too many samples"}"#;
    let (address, _questions) = answering("422 Unprocessable Entity", body);
    let said = refusal(&["--prometheus", &format!("http://{address}")]);
    assert!(said.contains("too many samples"), "{said}");
}

#[test]
fn a_prometheus_that_knows_nothing_gives_no_report() {
    let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let (address, questions) = answering("200 OK", body);
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "secret\n").expect("written");
    let file = token.path().display().to_string();
    let said = refusal(&[
        "--prometheus",
        &format!("http://{address}/prometheus/"),
        "--token-file",
        &file,
    ]);
    assert!(
        said.contains("has nothing to report on: no series of Narrows"),
        "{said}"
    );
    let first = questions.recv().expect("it was asked");
    assert!(first.starts_with("GET /prometheus/api/v1/query?query="), "{first}");
    assert!(
        first.to_ascii_lowercase().contains("authorization: bearer secret"),
        "{first}"
    );
}
