//! One hook a file.

mod accept;
mod amend;
mod cgroup;
mod delay;
mod process;
mod reset;
mod retransmit;
mod scheduling;
mod set_state;
mod walk;
