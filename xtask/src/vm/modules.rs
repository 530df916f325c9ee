//! The kernel modules that a guest loads, and their order.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::guests::kernel::{DEPENDENCIES, Kernel};

/// Modules for the miniature mesh: networks, packet filters, packet loss, and the listing of sockets. A guest has no
/// modprobe that would load them on demand.
const NEEDED: [&str; 17] = [
    // For the fabric.
    "veth",
    "bridge",
    // For `iptables`, whose rules are translated to nftables, with their own matches and targets.
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "xt_tcpudp",
    "xt_conntrack",
    "xt_connmark",
    "xt_owner",
    "xt_mark",
    "xt_nat",
    "xt_REDIRECT",
    "xt_statistic",
    "ipt_REJECT",
    // For `tc`.
    "sch_netem",
    // For `ss`.
    "tcp_diag",
    "inet_diag",
];

/// The modules to load, each after its dependencies; without those that are built in.
///
/// # Errors
/// The kernel has no such module, or its list cannot be read.
pub(crate) fn in_order(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let read = |name: &str| {
        let file = kernel.modules.join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (dependencies, builtin) = (read(DEPENDENCIES)?, read("modules.builtin")?);
    let order =
        sort(&dependencies, &builtin, &NEEDED).with_context(|| format!("the modules of Linux {}", kernel.release))?;
    Ok(order.iter().map(|path| kernel.modules.join(path)).collect())
}

/// Computes the order from the texts of `modules.dep` and `modules.builtin`.
fn sort<'a>(dependencies: &'a str, builtin: &str, needed: &[&str]) -> Result<Vec<&'a str>> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let modules: HashMap<_, _> = lines.map(|line| (name(line.0), line)).collect();
    let mut order = Vec::new();
    for wanted in needed {
        if let Some((path, needs)) = modules.get(*wanted) {
            // depmod lists direct and indirect dependencies; the last one must be loaded first.
            order.extend(needs.split_whitespace().rev().chain([*path]));
        } else if !builtin.lines().any(|path| name(path) == *wanted) {
            anyhow::bail!("there is no {wanted}");
        }
    }
    let mut seen = Vec::new();
    order.retain(|path| {
        let new = !seen.contains(path);
        seen.push(*path);
        new
    });
    Ok(order)
}

/// The name of a module, e.g. `veth` for `kernel/drivers/net/veth.ko.xz`.
fn name(path: &str) -> &str {
    let file = Path::new(path).file_name().and_then(|name| name.to_str());
    file.and_then(|file| file.split('.').next()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/net/llc/llc.ko:\n\
                                kernel/net/802/stp.ko.xz: kernel/net/llc/llc.ko\n\
                                kernel/net/bridge/bridge.ko.xz: kernel/net/802/stp.ko.xz kernel/net/llc/llc.ko\n";

    #[test]
    fn what_a_module_needs_comes_first_and_once() {
        let order = sort(DEPENDENCIES, "", &["stp", "bridge"]).expect("all are there");
        let expected = [
            "kernel/net/llc/llc.ko",
            "kernel/net/802/stp.ko.xz",
            "kernel/net/bridge/bridge.ko.xz",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_part_of_the_kernel_needs_no_loading_and_a_missing_module_is_named() {
        let builtin = "kernel/drivers/net/veth.ko\n";
        assert!(
            sort(DEPENDENCIES, builtin, &["veth"])
                .expect("it is built in")
                .is_empty()
        );
        let error = sort(DEPENDENCIES, builtin, &["vxlan"]).expect_err("it is nowhere");
        assert_eq!(error.to_string(), "there is no vxlan");
    }
}
