//! The first process of a virtual machine that `cargo xtask vm-test` boots.

fn main() -> anyhow::Result<()> {
    narrows_testbed::guest::main()
}
