//! A proxy with a single thread that does what a test says, step by step: for orders of reads and writes that real proxies take
//! only now and then.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it does next. Connections are numbered from 0 in the order in which they were accepted or opened.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Step {
    /// Listens on an address.
    Listen(SocketAddr),
    /// Accepts a connection.
    Accept,
    /// Opens a connection.
    Connect(SocketAddr),
    /// Reads a byte from a connection.
    Read(usize),
    /// Writes a byte to a connection.
    Write(usize),
}

/// Its sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    listener: Option<TcpListener>,
    connections: Vec<TcpStream>,
}

impl Sockets {
    /// Does one step.
    ///
    /// # Errors
    /// The system call's error, or there is no such socket.
    pub fn take(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Listen(address) => self.listener = Some(TcpListener::bind(address)?),
            Step::Accept => {
                let (connection, _) = self.listener.as_ref().context("it does not listen")?.accept()?;
                self.keep(connection)?;
            }
            Step::Connect(address) => self.keep(TcpStream::connect_timeout(&address, PATIENCE)?)?,
            Step::Read(number) => self.connection(number)?.read_exact(&mut [0])?,
            Step::Write(number) => self.connection(number)?.write_all(&[0])?,
        }
        Ok(())
    }

    fn keep(&mut self, connection: TcpStream) -> Result<()> {
        connection.set_read_timeout(Some(PATIENCE))?;
        self.connections.push(connection);
        Ok(())
    }

    fn connection(&mut self, number: usize) -> Result<&mut TcpStream> {
        let connection = self.connections.get_mut(number);
        connection.with_context(|| format!("it has no connection {number}"))
    }
}
