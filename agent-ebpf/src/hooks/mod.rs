//! One hook a file; those of a signal about points in the file of its name (`agent/src/signals`).

mod accepts;
mod amend;
mod cgroup;
mod delays;
mod drops;
mod processes;
mod reset;
mod retransmit;
mod scheduling;
mod set_state;
mod walk;
