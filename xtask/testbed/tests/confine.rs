//! What a container sees and may do, told by a program inside.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use narrows_testbed::cgroup::{self, Cgroup};
use narrows_testbed::confine::{Container, Mount, image, mask};
use narrows_testbed::isolate;
use narrows_testbed::netns::Netns;
use narrows_testbed::process::Child;

fn container(mounts: Vec<Mount>) -> Container {
    Container {
        image: image(Path::new("/bin/sh"), Path::new("/bin/sh")).expect("a shell"),
        mounts,
        capabilities: vec!["SYS_PTRACE".to_owned(), "BPF".to_owned()],
        read_only_root: true,
        no_new_privileges: true,
        seccomp: None,
        host_name: "inside".to_owned(),
    }
}

/// Starts a line of shell in a container, and hands the outcome to `each` while its network and cgroup are there.
fn start<R>(container: &Container, line: &str, each: impl FnOnce(anyhow::Result<Child>) -> R) -> R {
    isolate().expect("these tests need root");
    let netns = Netns::new(&format!("confined-{line:.3}")).expect("a namespace");
    let cgroup = Cgroup::new(&format!("{}/confined", cgroup::unique("narrows-confine"))).expect("a cgroup");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    each(container.spawn(&mut command, &netns, &cgroup))
}

fn says(container: &Container, line: &str) -> String {
    start(container, line, |child| {
        let mut child = child.expect("it starts");
        let mut text = String::new();
        child
            .stdout
            .take()
            .expect("piped")
            .read_to_string(&mut text)
            .expect("text");
        child.ended(Duration::from_secs(10)).expect("it ends");
        text
    })
}

#[test]
fn a_container_has_its_capabilities_its_cgroup_and_its_mounts_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("file"), "from the node").expect("written");
    let mount = |target: &str, read_only| Mount {
        source: directory.path().to_owned(),
        target: target.into(),
        read_only,
    };
    let container = container(vec![mount("/etc/read", true), mount("/var/written", false)]);
    let line = "while read -r line; do echo \"$line\"; done < /proc/self/status
        read -r line < /etc/read/file; echo \"file $line\"
        read -r line < /proc/self/cgroup; echo \"cgroup $line\"
        read -r line < /proc/sys/kernel/hostname; echo \"name $line\"
        for path in /x /etc/read/x /sys/x /proc/sys/kernel/hostname; do (: > $path) 2> /dev/null && echo \"wrote $path\"; done
        (echo back > /var/written/x) && echo \"wrote one\"
        for path in /*; do echo \"has $path\"; done
        for path in /sys/fs/cgroup/*/; do echo \"below $path\"; done";
    let said = says(&container, line);
    let words: Vec<_> = said
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let has = |line: &str| assert!(words.iter().any(|said| said == line), "{line:?} is not in\n{said}");
    let mask = mask(&container.capabilities).expect("known");
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        has(&format!("{set}: {mask:016x}"));
    }
    has("CapInh: 0000000000000000");
    has("NoNewPrivs: 1");
    has("file from the node");
    has("name inside");
    let wrote: Vec<_> = words.iter().filter(|line| line.starts_with("wrote")).collect();
    assert_eq!(wrote, ["wrote one"]);
    assert!(directory.path().join("x").exists());
    let root: Vec<_> = words.iter().filter_map(|line| line.strip_prefix("has /")).collect();
    assert!(
        root.iter()
            .all(|name| ["bin", "dev", "etc", "lib", "lib64", "proc", "sys", "usr", "var"].contains(name))
    );
    // The cgroup that the container is in is the root of all that it sees.
    has("below /sys/fs/cgroup/*/");
}

#[test]
fn a_mount_that_cannot_be_made_is_named() {
    let nowhere = Mount {
        source: "/nowhere/at/all".into(),
        target: "/etc/x".into(),
        read_only: true,
    };
    let error = start(&container(vec![nowhere]), ":", |child| {
        child.map(drop).expect_err("no such directory")
    });
    assert!(format!("{error:#}").contains("/nowhere/at/all"), "{error:#}");
}

#[test]
fn a_capability_that_does_not_exist_is_named() {
    let error = mask(&["BPF".to_owned(), "CAP_BPF".to_owned()]).expect_err("not as Kubernetes writes it");
    assert!(error.to_string().contains("CAP_BPF"), "{error}");
}
