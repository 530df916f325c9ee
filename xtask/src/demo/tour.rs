//! What the demo tells those who look: where the page is, what to see there, and what to run.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use narrows_testbed::http;
use narrows_testbed::tools;
use serde_json::Value;

/// The demo's agent, as a user reaches it.
pub(super) struct Tour {
    address: SocketAddr,
    /// The program, from where the user stands.
    program: String,
    /// What its commands need to find the agent.
    flag: String,
}

/// A moment of the choke.
pub(super) struct Step {
    /// Its number, of [`STEPS`], and what it is about.
    number: usize,
    title: &'static str,
    /// What happens now.
    now: String,
    /// Where to look on the page, after its address.
    page: (String, &'static str),
    /// What to run in a second terminal.
    run: String,
}

/// The number of steps of the choke.
const STEPS: usize = 5;

/// The address at which an agent is asked by default.
const USUAL: &str = "127.0.0.1:9797";

impl Tour {
    /// That of an agent at this address.
    pub(super) fn new(address: SocketAddr) -> Self {
        let program = tools::target_dir().join("release/narrows");
        let here = std::env::current_dir().unwrap_or_default();
        let near = program.strip_prefix(&here).unwrap_or(&program);
        Self {
            address,
            program: near.display().to_string(),
            flag: match address.to_string() {
                usual if usual == USUAL => String::new(),
                other => format!(" --agent http://{other}"),
            },
        }
    }

    /// The program of the agent.
    pub(super) fn program(&self) -> &Path {
        Path::new(&self.program)
    }

    /// A command of the agent's program.
    fn command(&self, command: &str) -> String {
        format!("{} {command}{}", self.program, self.flag)
    }

    /// An address of the page.
    pub(super) fn page(&self, parameters: &str) -> String {
        format!("http://{}/{parameters}", self.address)
    }

    /// The parameters that open a point on the page.
    ///
    /// # Errors
    /// The agent does not answer, or does not know the point.
    pub(super) fn point(&self, name: &str) -> Result<String> {
        let answer = http::get(
            self.address,
            &format!("/api/v1/points?search={name}"),
            "application/json",
        )?;
        let answer: Value = serde_json::from_str(&answer.body).context("a list of points")?;
        let id = answer["points"][0]["id"].as_str();
        let id = id.with_context(|| format!("the agent does not know {name}: {answer}"))?;
        Ok(format!("?point={id}"))
    }

    /// What to look at while the mesh has its usual load.
    pub(super) fn hints(&self) -> String {
        let command = |command, what| format!("  {:<46} {what}\n", self.command(command));
        format!(
            "\nThe page:  {}\n\
             Look there at\n  \
               shop/waypoint      what it carries, how full it is, and the four workloads that depend on it: click its name\n  \
               Failures           callers are refused, as billing/payments calls a closed port; shop/orders resets every 25th\n  \
               Flow               which workload reaches which service through which point\n\
             In a second terminal, the same without a browser:\n\
             {}{}{}\
             Metrics, as Prometheus scrapes them:  {}\n\
             End with Ctrl-C.\n",
            self.page(""),
            command("top", "the points, their dependents and failures"),
            command("failures --follow", "each failed connection as it happens"),
            command(
                "report --format html --output report.html",
                "a report with pictures, for a mail or a wiki"
            ),
            self.page("metrics"),
        )
    }

    /// Before anything is wrong.
    pub(super) fn calm(&self, point: &str, seconds: u64) -> Step {
        Step {
            number: 1,
            title: "all is well",
            now: format!(
                "Four workloads call two services through one proxy, shop/waypoint (a real Envoy). Nothing is full. This lasts {seconds} s."
            ),
            page: (
                self.page(point),
                "\"Workloads that depend on it\" lists all four; 100 % under \"of its own\": they have no other way",
            ),
            run: self.command("top"),
        }
    }

    /// The neighbour begins to grow.
    pub(super) fn growth(&self, what: String) -> Step {
        Step {
            number: 2,
            title: "a neighbour grows",
            now: what,
            page: (
                self.page(""),
                "the bar \"CPU\" of shop/waypoint rises with its load; nothing fails yet, and no other workload has changed",
            ),
            run: self.command("top --once"),
        }
    }

    /// The waypoint is full, and nobody fails yet.
    pub(super) fn full(&self, point: &str) -> Step {
        Step {
            number: 3,
            title: "the waypoint is full",
            now: "It uses all of the CPU that it may use. Everybody who depends on it waits; an alert is pending."
                .into(),
            page: (
                self.page(point),
                "▲ warning, with the reason; the delay until data is read grows; under \"of the point's\", billing/payments has the most",
            ),
            run: self.command("failures --follow --point shop/waypoint"),
        }
    }

    /// Others fail.
    pub(super) fn failing(&self, point: &str, seconds: u64) -> Step {
        Step {
            number: 4,
            title: "others fail",
            now: format!(
                "Requests of workloads that have not changed get no answer. billing/payments goes on for {seconds} s, so that you can look."
            ),
            page: (
                self.page(point),
                "✖ critical; failures come live, and \"Paths\" says whose traffic goes where",
            ),
            run: self.command("failures --since 1m --point shop/waypoint"),
        }
    }

    /// The neighbour has stopped.
    pub(super) fn over(&self, point: &str) -> Step {
        Step {
            number: 5,
            title: "it is over",
            now: "billing/payments has stopped. The waypoint works off what waits, and the alert resolves.".into(),
            page: (
                self.page(point),
                "\"The last hour\" keeps what happened: first the load rose, then the saturation, then the delays, then failures",
            ),
            run: self.command("report --format html --output report.html"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            title,
            now,
            page,
            run,
        } = self;
        let (address, look) = page;
        write!(
            f,
            "\n── Step {number} of {STEPS}: {title}\n   Now   {now}\n   Page  {address}\n         {look}\n   Run   {run}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_agent_where_it_is_not_found_by_itself() {
        let usual = Tour::new(USUAL.parse().expect("an address"));
        let step = usual.failing("?point=x", 20).to_string();
        for part in [
            "── Step 4 of 5: others fail",
            "Page  http://127.0.0.1:9797/?point=x\n",
            "release/narrows failures --since 1m --point shop/waypoint",
        ] {
            assert!(step.contains(part), "{part}\n{step}");
        }
        assert!(!step.contains("--agent"), "{step}");
        let other = Tour::new("127.0.0.1:9798".parse().expect("an address"));
        for text in [other.hints(), other.over("?point=x").to_string()] {
            assert!(text.contains(" --agent http://127.0.0.1:9798"), "{text}");
            assert!(text.contains("http://127.0.0.1:9798/"), "{text}");
        }
    }

    #[test]
    fn steps_are_counted_to_their_number() {
        let tour = Tour::new(USUAL.parse().expect("an address"));
        let steps = [
            tour.calm("", 1),
            tour.growth(String::new()),
            tour.full(""),
            tour.failing("", 1),
            tour.over(""),
        ];
        let numbers: Vec<_> = steps.iter().map(|step| step.number).collect();
        assert_eq!(numbers, (1..=STEPS).collect::<Vec<_>>());
    }
}
