//! The flags that name an agent.

use super::{Access, Client, Service};
use crate::url::Url;
use clap::{Args, ValueHint};

/// An agent, and what it takes to be answered by it.
#[derive(Args, Clone, Debug)]
pub struct AgentAddress {
    /// URL at which the agent serves HTTP. An agent knows what it has seen of its own node since its start
    #[arg(
        long,
        env = "NARROWS_AGENT",
        value_name = "URL",
        default_value = "http://127.0.0.1:9797",
        value_hint = ValueHint::Url
    )]
    agent: Url,
    /// Tokens and certificates, also for another service that is asked in the agent's place.
    #[command(flatten)]
    pub access: Access,
}

impl AgentAddress {
    /// A client for the agent; it sends nothing yet.
    ///
    /// # Errors
    /// When the token may not be sent there, or when no CA can be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::new(Service::Agent, &self.agent, &self.access)
    }
}
