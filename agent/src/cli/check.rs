//! `narrows check`: what this kernel and these privileges allow.

use super::{output::print, settings::Settings};
use crate::{
    clock,
    config::Config,
    daemon::InventoryFile,
    identity::{KnownNetworks, Observer, kubernetes},
    kernel::{self, Kernel, KernelTypes, Lockdown, Pins, Unusable},
    node::{self, Cgroups, resources::Reader},
    points::Rules,
    program::LIFE_CYCLE,
};
use agent_common::Settings as KernelSettings;
use clap::Args;
use std::{fmt::Write as _, path::Path, process::ExitCode};

/// One line of the table.
struct Row {
    what: String,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Something optional is not available.
    Off,
    /// A requirement is missing: the agent cannot start.
    Missing,
}

/// What `--help` says after the flags.
const HELP: &str = "\
Examples:
  # What works on this node
  narrows check
  # Only what does not
  narrows check | grep -v ' ok '
  # Whether a configuration and an inventory are valid, and what of the inventory exists
  narrows check --config /etc/narrows/config.yaml --inventory /etc/narrows/inventory.yaml
  # Whether the service account may read what the agent needs
  kubectl -n narrows exec POD -- narrows check --kubernetes on";

/// Check what this kernel, these privileges and these settings allow
///
/// Loads every kernel program for a moment, reads the configuration and the inventory, and asks the Kubernetes API for everything
/// that the agent needs. Prints a line for each: ok, off (something optional is missing) or MISSING. Takes the flags of `narrows
/// agent` and needs the same privileges; an agent may be running. Exit code 1 when something is missing that nothing works without.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub struct Options {
    #[command(flatten)]
    settings: Settings,
}

/// Prints what it finds. Exit code 1 when something is missing that nothing works without.
///
/// # Errors
/// When a setting is wrong.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (table, complete) = examine(&options.settings.config()?);
    print(table)?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tests everything and returns the table, and whether all requirements are met.
fn examine(config: &Config) -> (String, bool) {
    let mut rows = Vec::new();
    rows.push(Row {
        what: "kernel".into(),
        state: State::Good,
        detail: node::kernel_release(),
    });
    outcome(
        &mut rows,
        "BTF",
        KernelTypes::read(Path::new(kernel::VMLINUX))
            .map(|_| kernel::VMLINUX.to_owned())
            .map_err(|e| e.to_string()),
    );
    restrictions(&mut rows);
    let cgroups = Cgroups::find();
    match &cgroups {
        Ok(cgroups) if !cgroups.is_whole() => rows.push(Row {
            what: "cgroup2".into(),
            state: State::Off,
            detail: format!(
                "{} shows only a part of this node: connections of other cgroups have no owner. Mount the node's \
                 /sys/fs/cgroup into the container",
                cgroups.mount().display()
            ),
        }),
        Ok(cgroups) => outcome(&mut rows, "cgroup2", Ok(cgroups.mount().display().to_string())),
        Err(error) => outcome(&mut rows, "cgroup2", Err(format!("{error:#}"))),
    }
    let capabilities = match kernel::missing_capabilities() {
        Ok(missing) if missing.is_empty() => Ok("CAP_BPF, CAP_PERFMON".to_owned()),
        Ok(missing) => Err(missing.join(", ")),
        Err(error) => Err(format!("{error:#}")),
    };
    outcome(&mut rows, "capabilities", capabilities);
    if let Ok(false) = kernel::sees_processes() {
        rows.push(Row {
            what: "CAP_SYS_PTRACE".into(),
            state: State::Off,
            detail:
                "recognition of points by their processes; the network namespaces of pods without sockets of their own"
                    .into(),
        });
    }
    if let Ok(cgroups) = &cgroups {
        signals(&mut rows, cgroups);
    }
    takeover(&mut rows, config);
    programs(&mut rows, config, cgroups.as_ref().ok());
    cluster(&mut rows, config);
    reviews(&mut rows, config);
    inventory(&mut rows, config, cgroups.ok());
    (table(&rows), rows.iter().all(|row| row.state != State::Missing))
}

/// Restrictions by the kernel as a whole (lockdown, real-time), and by the namespaces in which the agent runs.
fn restrictions(rows: &mut Vec<Row>) {
    let (state, detail) = match kernel::lockdown() {
        Lockdown::Open => (State::Good, "programs may read kernel memory".to_owned()),
        Lockdown::Unknown => (State::Good, format!("unknown, as {} does not exist", kernel::LOCKDOWN)),
        Lockdown::Confidentiality => (
            State::Off,
            "confidentiality: programs may not read kernel memory, so some fields are not used (see below)".to_owned(),
        ),
    };
    rows.push(Row {
        what: "lockdown".into(),
        state,
        detail,
    });
    if kernel::is_real_time() {
        rows.push(Row {
            what: "PREEMPT_RT".into(),
            state: State::Off,
            detail: "not tested; before Linux 6.18 records of sockets are allocated where this kernel may not allocate"
                .into(),
        });
    }
    if !node::has_the_kernels_numbers() {
        rows.push(Row {
            what: "process namespace".into(),
            state: State::Off,
            detail: "the agent is in a PID namespace of its own: open connections and listeners of other processes are not found, and count when they \
                     close; threads of points are not tracked. Run it in the node's PID namespace (hostPID)"
                .into(),
        });
    }
}

fn outcome(rows: &mut Vec<Row>, what: &str, outcome: Result<String, String>) {
    let (state, detail) = match outcome {
        Ok(detail) => (State::Good, detail),
        Err(detail) => (State::Missing, detail),
    };
    rows.push(Row {
        what: what.to_owned(),
        state,
        detail,
    });
}

/// Whether the kernel continues to count after the agent has exited.
fn takeover(rows: &mut Vec<Row>, config: &Config) {
    let (state, detail) = match config.kernel.pins().map(|root| (root, Pins::open(root))) {
        None => (
            State::Off,
            "the kernel counts only while the agent runs (kernel.pin is off)".to_owned(),
        ),
        Some((root, Ok(pins))) => {
            let left = match pins.layouts().len() {
                0 => String::new(),
                _ => "; pinned programs of an earlier agent are counting for the next one".to_owned(),
            };
            drop(pins);
            // Only an empty directory can be removed, which `Pins::open` has just created.
            let _is_in_use = std::fs::remove_dir(root);
            (
                State::Good,
                format!(
                    "the kernel continues to count while the agent is restarted or replaced: {}{left}",
                    root.display()
                ),
            )
        }
        Some((_, Err(Unusable::Busy(why)))) => (State::Good, why),
        Some((_, Err(Unusable::Refused(why)))) => (
            State::Off,
            format!(
                "the kernel counts only while the agent runs, so that a restart misses what happens meanwhile: {why}"
            ),
        ),
    };
    rows.push(Row {
        what: "takeover".into(),
        state,
        detail,
    });
}

/// Loads and attaches all programs for a moment.
fn programs(rows: &mut Vec<Row>, config: &Config, cgroups: Option<&Cgroups>) {
    let kernel = match Kernel::open(&kernel::Options {
        flows: 64,
        settings: KernelSettings::DEFAULT,
        off: config.kernel.off.clone(),
        idle_readings: config.idle_readings(),
        numbers: node::has_the_kernels_numbers(),
        cgroups: cgroups.map(|cgroups| cgroups.mount().to_owned()).unwrap_or_default(),
        pins: None,
    }) {
        Ok(kernel) => kernel,
        Err(error) => return outcome(rows, "programs", Err(format!("{error:#}"))),
    };
    for status in kernel.programs() {
        let state = match status.active {
            true => State::Good,
            false if LIFE_CYCLE.iter().any(|program| program.name == status.program) && !kernel.sees_life_cycle() => {
                State::Missing
            }
            false => State::Off,
        };
        let detail = match &status.reason {
            None => status.signal.to_owned(),
            Some(reason) => format!("{} ({reason})", status.signal),
        };
        rows.push(Row {
            what: format!("{} {}", status.program, status.hook),
            state,
            detail,
        });
    }
    for field in kernel.fields() {
        let Some(off) = field.off else { continue };
        rows.push(Row {
            what: field.field.clone(),
            state: if field.required { State::Missing } else { State::Off },
            detail: format!("{off} ({})", field.reason.as_deref().unwrap_or("unknown")),
        });
    }
}

/// The signals about points that the node's files offer.
fn signals(rows: &mut Vec<Row>, cgroups: &Cgroups) {
    for signal in Reader::find(cgroups.mount()).signals() {
        rows.push(Row {
            what: signal.name.into(),
            state: if signal.active { State::Good } else { State::Off },
            detail: match &signal.reason {
                None => signal.what.to_owned(),
                Some(reason) => format!("{} ({reason})", signal.what),
            },
        });
    }
}

/// Asks the API server for all lists that the agent needs.
fn cluster(rows: &mut Vec<Row>, config: &Config) {
    let answers = match kubernetes::try_out(config) {
        Ok(None) => return,
        Ok(Some(answers)) => answers,
        Err(error) => return outcome(rows, "Kubernetes", Err(format!("{error:#}"))),
    };
    for (source, answer) in answers {
        // Optional: everything else works without it.
        let (state, detail) = match answer {
            Ok(detail) => (State::Good, detail),
            Err(detail) => (State::Off, detail),
        };
        rows.push(Row {
            what: format!("Kubernetes {}", source.label()),
            state,
            detail,
        });
    }
}

/// Whether the API server says whose a token is, and what they may read.
fn reviews(rows: &mut Vec<Row>, config: &Config) {
    const WHAT: &str = "api.kubernetes";
    let (state, detail) = match kubernetes::try_out_reviews(config) {
        Ok(None) => return,
        Ok(Some(Ok(()))) => (State::Good, "tokens and access may be reviewed".to_owned()),
        Ok(Some(Err(error))) => (State::Off, error.to_string()),
        Err(error) => return outcome(rows, WHAT, Err(format!("{error:#}"))),
    };
    rows.push(Row {
        what: WHAT.to_owned(),
        state,
        detail,
    });
}

fn inventory(rows: &mut Vec<Row>, config: &Config, cgroups: Option<Cgroups>) {
    let Some(file) = &config.inventory else { return };
    let read = InventoryFile::open(Some(file)).map_err(|error| error.to_string());
    let (mut read, Some(cgroups)) = (
        match read {
            Ok(read) => read,
            Err(error) => return outcome(rows, "inventory", Err(error)),
        },
        cgroups,
    ) else {
        return;
    };
    let rules = match Rules::new(config.points.rules.clone()) {
        Ok(rules) => rules,
        Err(error) => return outcome(rows, "rules", Err(error.to_string())),
    };
    let mut observer = Observer::new(cgroups, rules, None, KnownNetworks::default(), config.limits.cgroups);
    let entries = read.changed().map_or(0, |inventory| {
        let entries = inventory.entries.len();
        observer.set_inventory(inventory);
        entries
    });
    observer.refresh(clock::now(), true);
    rows.push(Row {
        what: "inventory".into(),
        state: State::Good,
        detail: format!("{}: {entries} workloads and points", file.display()),
    });
    for missing in observer.missing() {
        rows.push(Row {
            what: "inventory".into(),
            state: State::Off,
            detail: missing.clone(),
        });
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        let state = match row.state {
            State::Good => "ok",
            State::Off => "off",
            State::Missing => "MISSING",
        };
        // Further lines of a detail, such as a verifier's log, are aligned with the first.
        let detail = row.detail.replace('\n', &format!("\n{:1$}", "", width + 11));
        let _ = writeln!(text, "{:width$}  {state:7}  {detail}", row.what);
    }
    text
}
