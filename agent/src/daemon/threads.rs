//! How the threads of points share the work.

use crate::{
    kernel::Kernel,
    model::Model,
    node,
    points::Point,
    signals::skew::{Skew, ThreadUse},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Of a point with more threads than this, the CPU times of these many are read: a tick must not take longer, however many there are.
const MOST: usize = 1_024;

/// The CPU times of the points' threads at the last tick.
#[derive(Default)]
pub struct ThreadWatch {
    times: HashMap<u32, Duration>,
    at: Option<Instant>,
}

impl ThreadWatch {
    /// Looks at the threads of all points. To be called after the walk over open files; `point` names the point of a cgroup.
    ///
    /// # Errors
    /// The system call's error.
    pub fn look<'a>(
        &mut self,
        kernel: &mut Kernel,
        model: &mut Model,
        point: impl Fn(u64) -> Option<&'a Arc<Point>>,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        let elapsed = self.at.replace(now).map(|before| now - before);
        let before = std::mem::take(&mut self.times);
        let walk = kernel.walk_number();
        let mut threads: HashMap<&Arc<Point>, Vec<ThreadUse>> = HashMap::new();
        for (thread, task) in kernel.points().tasks()? {
            let Some(point) = point(task.cgroup) else { continue };
            let uses = threads.entry(point).or_default();
            let time = (uses.len() < MOST)
                .then(|| node::cpu_time(task.process, thread))
                .flatten();
            if let Some(time) = time {
                self.times.insert(thread, time);
            }
            uses.push(ThreadUse {
                cpu: time
                    .zip(before.get(&thread))
                    .map(|(now, before)| now.saturating_sub(*before)),
                connections: if walk == Some(task.walk) {
                    task.connections.into()
                } else {
                    0
                },
            });
        }
        for (point, uses) in threads {
            if let Some(inside) = model.inside(point) {
                inside.skew = Skew::of(&uses, elapsed);
            }
        }
        Ok(())
    }
}
