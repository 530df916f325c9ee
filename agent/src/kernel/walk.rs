//! Walks over open files: open sockets get their records, and what they have carried since the last walk is counted.

use super::{bpf, bytes::split};
use crate::spacing::Spacing;
use agent_common::ListenerSample;
use anyhow::Context;
use aya::maps::{Array, MapData};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

/// Elements of the program's map: the number of the current walk, and the number of sockets with a record that it has visited.
const NUMBER: u32 = 0;
const MET: u32 = 1;

/// Bytes read at once; the kernel's own buffer is half of it.
const CHUNK: usize = 64 * 1024;

/// The iterator program that walks over open files.
pub struct Walker {
    program: OwnedFd,
    whole: OwnedFd,
    /// Whether the kernel can walk over the files of one process.
    by_process: bool,
    /// The map that gives the program the number of its walk, and in which it counts the sockets it visits.
    state: Array<MapData, u64>,
    number: u32,
    whole_walks: Spacing,
}

/// A process that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listening {
    /// Its id.
    pub process: u32,
    /// Inode number of the network namespace of the socket.
    pub netns: u32,
    /// The port.
    pub port: u16,
}

/// The result of a walk.
pub struct Walked {
    /// The listening sockets that were visited, each once.
    pub listeners: Vec<ListenerSample>,
    /// The processes that have listening sockets.
    pub listening: HashSet<Listening>,
    /// Its number, if it has visited all files of the node; `None` if only those of some processes.
    pub whole: Option<u32>,
    /// Number of visited open sockets with a record.
    pub sockets: u64,
}

impl Walker {
    /// Attaches the program. `state` is its map.
    ///
    /// # Errors
    /// The kernel does not support iterators over open files.
    pub fn attach(program: OwnedFd, state: Array<MapData, u64>) -> anyhow::Result<Self> {
        let fd = program.as_fd();
        let whole = bpf::attach_iterator(fd, None).context("this kernel does not iterate over open files")?;
        let by_process = bpf::iterates_by_process(fd);
        Ok(Self {
            whole,
            by_process,
            number: state
                .get(&NUMBER, 0)
                .context("the number of the last walk cannot be read")? as u32,
            state,
            program,
            whole_walks: Spacing::new(),
        })
    }

    /// The descriptor of the program.
    pub fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// The number of the last walk.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Walks over the files of the whole node, or, while that would take more than a hundredth of a CPU's time, over those of
    /// `processes` alone.
    ///
    /// # Errors
    /// The iterator failed.
    pub fn walk(&mut self, processes: impl Iterator<Item = u32>) -> anyhow::Result<Walked> {
        // 0 stands for no walk.
        self.number = self.number.wrapping_add(1).max(1);
        self.state
            .set(NUMBER, u64::from(self.number), 0)
            .and_then(|()| self.state.set(MET, 0, 0))
            .context("a walk over open files cannot be numbered")?;
        let mut listeners = Vec::new();
        let begin = Instant::now();
        if self.whole_walks.is_due(begin) {
            run(&self.whole, &mut listeners).context("walking over all open files failed")?;
            self.whole_walks.took(begin, begin.elapsed());
            return Ok(Walked {
                listening: take_listening(&mut listeners),
                listeners,
                whole: Some(self.number),
                sockets: self
                    .state
                    .get(&MET, 0)
                    .context("the sockets of a walk cannot be counted")?,
            });
        }
        for process in processes.filter(|_| self.by_process) {
            // The process may have ended since it was listed.
            let Ok(link) = bpf::attach_iterator(self.program.as_fd(), Some(process)) else {
                continue;
            };
            run(&link, &mut listeners)
                .with_context(|| format!("walking over the files of process {process} failed"))?;
        }
        Ok(Walked {
            listening: take_listening(&mut listeners),
            listeners,
            whole: None,
            sockets: 0,
        })
    }
}

/// Who listens; leaves each socket once.
fn take_listening(found: &mut Vec<ListenerSample>) -> HashSet<Listening> {
    let listening = found.iter().map(|sample| Listening {
        process: sample.process,
        netns: sample.netns,
        port: sample.port,
    });
    let listening = listening.collect();
    found.retain(|sample| sample.again == 0);
    listening
}

/// Runs the program over all objects of a link, and collects its output.
fn run<T: aya::Pod>(link: &OwnedFd, found: &mut Vec<T>) -> io::Result<()> {
    let mut file = File::from(bpf::open_iterator(link.as_fd())?);
    let mut chunk = vec![0; CHUNK];
    let mut filled = 0;
    loop {
        match file.read(&mut chunk[filled..]) {
            Ok(0) => return Ok(()),
            Ok(n) => filled += n,
            // The kernel returns after a million objects without output.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => continue,
            // The process of the link has ended.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut rest = &chunk[..filled];
        while let Some((record, tail)) = split(rest) {
            found.push(record);
            rest = tail;
        }
        // An incomplete record moves to the start of the buffer.
        let left = rest.len();
        chunk.copy_within(filled - left..filled, 0);
        filled = left;
    }
}
