//! The running agent: one thread runs the tick loop, and a server shows what it found.

mod drains;
mod inside;
mod inventory_file;
mod listen;
mod run;
mod start;
mod state;
mod threads;
mod tick;
mod tick_loop;
mod wake;

pub use inventory_file::InventoryFile;
pub use run::run;
