//! The tick loop: a tick when it is due, and between ticks failures as they arrive.

use super::{
    tick::Ticker,
    wake::{Plan, REST, Woken},
};
use crate::export::Publisher;
use std::{
    io::PipeReader,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// Runs ticks, and processes failures between them. Returns when the other end of `stop` is closed.
pub fn run_loop(mut ticker: Ticker, interval: Duration, mut publisher: Publisher, stop: &PipeReader) {
    let mut next = Instant::now();
    loop {
        if let Some(snapshot) = ticker.tick() {
            publisher.publish(snapshot, Instant::now());
        }
        // A tick that took too long is not made up for.
        let mut now = Instant::now();
        next = (next + interval).max(now);
        // The tick has processed failures, too.
        let mut looked = now;
        loop {
            let again = ticker.failures_wait();
            let woken = Plan::new(now, next, looked, again).wait(stop.as_fd(), ticker.failures_ready());
            now = Instant::now();
            let due = match woken {
                Woken::End => {
                    ticker.close();
                    return;
                }
                _ if now >= next => break,
                Woken::Failures => true,
                Woken::Time => again && now >= looked + REST,
            };
            if due {
                ticker.failures();
                looked = Instant::now();
            }
        }
    }
}
