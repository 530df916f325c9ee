//! A process that uses resources: CPU time, memory, open files.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::{hint, io};

use anyhow::{Context as _, Result};

/// How much of each resource it uses.
#[derive(Debug, Default, Clone, Copy, clap::Args)]
pub struct Weight {
    /// Threads that are never idle.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Bytes of memory that it allocates.
    #[arg(long, default_value_t = 0)]
    pub memory_bytes: usize,
    /// Files that it opens.
    #[arg(long, default_value_t = 0)]
    pub files: usize,
}

impl Weight {
    /// The arguments of `narrows-actor` for it.
    pub fn arguments(&self) -> [String; 4] {
        [
            "burden".to_owned(),
            format!("--threads={}", self.threads),
            format!("--memory-bytes={}", self.memory_bytes),
            format!("--files={}", self.files),
        ]
    }
}

/// Used resources; released when the guard is dropped.
#[derive(Debug)]
pub struct Burden {
    threads: Vec<JoinHandle<()>>,
    done: Arc<AtomicBool>,
    _memory: Vec<u8>,
    _files: Vec<File>,
}

impl Burden {
    /// Starts to use the resources. All memory is allocated and all files are open when this returns.
    pub fn new(weight: Weight) -> Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let burn = |_| {
            let done = done.clone();
            thread::Builder::new().name("burden".to_owned()).spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let files = (0..weight.files).map(|_| File::open("/dev/null"));
        Ok(Self {
            _files: files.collect::<io::Result<_>>().context("open files")?,
            // Not zero: the kernel allocates pages of zeros only when they are written to.
            _memory: vec![1; weight.memory_bytes],
            threads: (0..weight.threads).map(burn).collect::<io::Result<_>>()?,
            done,
        })
    }
}

impl Drop for Burden {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}
