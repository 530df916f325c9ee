//! Open connections by age, and the instances of points that are to go.

use crate::{
    clock::Millis,
    identity::Observer,
    kernel::Kernel,
    model::{FlowAges, Instance, Model, is_replaced},
    node,
};
use agent_common::Role;
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

/// Tells the model how old the open connections of points are, and which instances are to go. To be called after the flows of a tick.
///
/// # Errors
/// The system call's error.
pub fn look(kernel: &mut Kernel, observer: &Observer, model: &mut Model, now: Millis) -> anyhow::Result<()> {
    let found = kernel.ages()?;
    let mut listening: HashMap<(u32, u16), HashSet<u32>> = HashMap::new();
    for it in kernel.listening() {
        listening.entry((it.netns, it.port)).or_default().insert(it.process);
    }
    // Only processes without a listening socket, and those that listen in their place, are looked up.
    let known: RefCell<HashMap<u32, Option<u64>>> = RefCell::default();
    let began = |process| {
        let mut known = known.borrow_mut();
        *known
            .entry(process)
            .or_insert_with(|| node::facts(process).map(|facts| facts.began))
    };
    let ages = found.into_iter().map(|(key, found)| FlowAges {
        replaced: (key.flow.role == Role::Server as u8
            && is_replaced(key.process, listening.get(&(key.flow.netns, key.flow.port)), began))
        .then_some(key.process),
        flow: key.flow,
        open: found.open,
        half_closed: found.half_closed,
    });
    let ages: Vec<_> = ages.collect();
    let instances = observer.owners().point_pods().map(|(point, pod)| Instance {
        point: point.clone(),
        begin: pod.begin,
        revision: pod.revision().map(str::to_owned),
        deletion: pod.deletion,
    });
    let instances: Vec<_> = instances.collect();
    model.depart(&ages, &instances, now);
    Ok(())
}
