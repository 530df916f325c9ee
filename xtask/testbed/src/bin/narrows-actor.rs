//! A part of a miniature mesh as a separate process; see `narrows_testbed::actor` for the protocol.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;
use narrows_testbed::actor::{answer, follow_steps, say};
use narrows_testbed::burden::{Burden, Weight};
use narrows_testbed::load::{Behaviour, Client, Pace, Plan, Server, Steady};
use narrows_testbed::ztunnel::{self, Config};

/// A part of a miniature mesh: keeps a tally, and writes it as JSON when it reads `tally` or `stop`.
#[derive(Debug, Parser)]
#[command(name = "narrows-actor")]
enum Part {
    /// Opens connections at a steady rate and records the result of each.
    Client(Plan),
    /// Keeps a few connections and sends requests at a steady rate.
    Steady(Pace),
    /// Answers the requests of clients.
    Server {
        /// Address to listen on
        address: SocketAddr,
        #[command(flatten)]
        behaviour: Behaviour,
    },
    /// Uses CPU time, memory and files. Its tally is empty.
    Burden(Weight),
    /// A proxy that does the steps that it is told, lists of them in JSON. Its tally is empty.
    Steps,
    /// Stands in for Istio's ztunnel in in-pod mode.
    Ztunnel(Config),
}

fn main() -> Result<()> {
    let last = match Part::parse() {
        Part::Client(plan) => {
            let client = Client::start(plan);
            answer(|| client.tally())?;
            serde_json::to_string(&client.stop())
        }
        Part::Steady(pace) => {
            let steady = Steady::start(pace);
            answer(|| steady.tally())?;
            serde_json::to_string(&steady.stop())
        }
        Part::Server { address, behaviour } => {
            let server = Server::start(address, behaviour)?;
            answer(|| server.tally())?;
            serde_json::to_string(&server.stop())
        }
        Part::Burden(weight) => {
            let burden = Burden::new(weight)?;
            answer(|| ())?;
            drop(burden);
            serde_json::to_string(&())
        }
        Part::Steps => {
            follow_steps()?;
            serde_json::to_string(&())
        }
        Part::Ztunnel(config) => {
            let tunnel = ztunnel::serve(&config)?;
            answer(|| tunnel.tally())?;
            serde_json::to_string(&tunnel.stop())
        }
    }?;
    say(&last)
}
