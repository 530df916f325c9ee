//! One file per hook; the hooks of a signal of points are in the file with the signal's name (`agent/src/signals`).

mod accepts;
mod amend;
mod cgroup;
mod delays;
mod drops;
mod paths;
mod processes;
mod reset;
mod retransmit;
mod scheduling;
mod set_state;
mod walk;
