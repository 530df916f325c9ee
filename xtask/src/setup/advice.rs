//! Instructions for packages that the user has to install by hand.

use crate::system::family::Family;

use super::discover::Lack;

/// The Debian packages for what is missing. They are built for LLVM 22 today; a newer version will require
/// another `llvm-N-dev`, which is detected once it is installed.
pub(crate) fn debian_packages(lack: &Lack) -> Vec<String> {
    match lack {
        Lack::Llvm { major, .. } => vec![format!("llvm-{major}-dev")],
        Lack::Rust | Lack::RustSource { .. } => ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"]
            .map(String::from)
            .to_vec(),
    }
}

/// The steps that enable a machine to compile the kernel programs, one per line.
pub(crate) fn by_hand(lack: &Lack, family: Family) -> String {
    let rust = match lack {
        Lack::Rust => Some("rustup toolchain install nightly --profile minimal --component rust-src".to_owned()),
        Lack::RustSource { toolchain, .. } => Some(format!("rustup component add rust-src --toolchain {toolchain}")),
        Lack::Llvm { .. } => None,
    };
    let llvm = match lack {
        Lack::Llvm { major, .. } | Lack::RustSource { major, .. } => major.to_string(),
        Lack::Rust => "N".to_owned(),
    };
    let install = match family {
        Family::Debian => {
            format!("apt-get install llvm-{llvm}-dev   (from apt.llvm.org where the distribution has none)")
        }
        Family::Fedora => format!("dnf install llvm-devel   (or llvm{llvm}-devel, where that is not LLVM {llvm})"),
        Family::Arch => format!("pacman -S llvm   (it has to be LLVM {llvm})"),
        Family::Alpine => format!("apk add llvm{llvm}-dev"),
        Family::Other => format!("the development package of LLVM {llvm} (libLLVM.so and llvm-config)"),
    };
    let missing = match lack {
        Lack::Rust => "no Rust here compiles for the BPF target".to_owned(),
        Lack::RustSource { toolchain, .. } => format!("the Rust toolchain {toolchain} lacks rust-src"),
        Lack::Llvm { rustc, major } => {
            format!(
                "{} needs a bpf-linker built with LLVM {major}, whose development files are missing",
                rustc.display()
            )
        }
    };
    let mut lines = vec![format!("{missing}. Install:")];
    lines.extend(rust.iter().map(|rust| format!("  {rust}")));
    lines.push(format!("  {install}"));
    if *lack == Lack::Rust {
        lines.push("where N is the LLVM of the compiler: the last line of `rustc +nightly -vV`.".to_owned());
    }
    lines.push("Then run `cargo xtask setup` again.".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let lack = Lack::Llvm {
            rustc: "/opt/bin/rustc".into(),
            major: 23,
        };
        assert_eq!(debian_packages(&lack), ["llvm-23-dev"]);
        let text = by_hand(&lack, Family::Alpine);
        assert!(
            text.contains("apk add llvm23-dev") && !text.contains("rustup"),
            "{text}"
        );
    }

    #[test]
    fn without_a_compiler_rustup_comes_first() {
        let text = by_hand(&Lack::Rust, Family::Fedora);
        assert!(text.find("rust-src") < text.find("dnf install"), "{text}");
    }
}
