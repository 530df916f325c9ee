//! `--log-failures`: each record as a line of JSON on stdout.

use super::{
    filter::Filter,
    ring::{Reader, Ring},
};
use anyhow::Context;
use std::{
    io::{self, Write},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::runtime::Handle;

/// The time limit for writing the last records at the end: a slow reader of stdout must not delay the agent's exit.
const END: Duration = Duration::from_secs(2);

/// Writes every record, in a thread of its own, as the reader of stdout may be slow.
#[derive(Debug)]
pub struct Log {
    done: mpsc::Receiver<()>,
}

impl Log {
    /// Starts to write the records of `ring` to stdout, from the first one on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(ring: &Arc<Ring>, runtime: Handle) -> anyhow::Result<Self> {
        let (end, done) = mpsc::channel();
        let mut reader = ring.reader(1);
        std::thread::Builder::new()
            .name("failures".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(write_all(&mut reader, &mut io::stdout())) {
                    tracing::error!("cannot write failures to stdout, so they are no longer logged: {error}");
                }
                // The receiver no longer exists when the agent has ended.
                let _nobody = end.send(());
            })
            .context("cannot start a thread")?;
        Ok(Self { done })
    }

    /// Waits until everything is written, when the ring is closed.
    pub fn finish(self) {
        if self.done.recv_timeout(END) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("cannot write the last failures to stdout in time; they are not logged");
        }
    }
}

/// Writes records as they are added, until the ring is closed.
async fn write_all(reader: &mut Reader, out: &mut impl Write) -> io::Result<()> {
    while let Some(batch) = reader.read(&Filter::ALL).await {
        if batch.missed > 0 {
            tracing::warn!(
                "{} failures are missing in the log, because stdout was read too slowly; gaps in their numbers (seq) show where",
                batch.missed
            );
        }
        let mut text = Vec::new();
        for record in &batch.records {
            serde_json::to_writer(&mut text, &record.shown())?;
            text.push(b'\n');
        }
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{failure::Failure, record::tests::record},
        *,
    };
    use agent_common::Reason;

    #[tokio::test]
    async fn a_line_for_each() {
        let ring = Arc::new(Ring::new(1000, 0));
        let mut reader = ring.reader(1);
        for _ in 0..300 {
            ring.push([record("checkout", "shop/waypoint", Reason::Refused)]);
        }
        ring.close();
        let mut out = Vec::new();
        write_all(&mut reader, &mut out).await.expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Failure>(line).expect("a failure").seq)
            .collect();
        assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_does_not_take_them_any_more_ends_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let ring = Arc::new(Ring::new(10, 0));
        let mut reader = ring.reader(1);
        ring.push([record("checkout", "shop/waypoint", Reason::Refused)]);
        let error = write_all(&mut reader, &mut Closed).await.expect_err("closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
