//! The scenario `--choke`: a noisy neighbour slowly saturates a shared waypoint. It checks that the alert fires before requests of
//! other workloads fail.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use narrows_testbed::agent::Agent;
use narrows_testbed::prometheus::Prometheus;
use narrows_testbed::signals::Stop;

use super::mesh::{Mesh, WAYPOINT_NAME};
use super::page::Pictures;
use super::prometheus::HURRY;
use super::tour::Tour;
use super::{dashboards, prometheus};

/// The CPU quota of the waypoint, in CPUs.
const QUOTA: f64 = 0.08;

/// The steps in which the neighbour's rate grows, in connections per second, and their interval.
const STEP: f64 = 10.0;
const EVERY: Duration = Duration::from_secs(2);

/// How long nothing happens at first, so that whoever watches can open the page.
const CALM: Duration = Duration::from_secs(15);

/// How long the neighbour goes on after others have failed, so that whoever watches can look at it.
const HOLD: Duration = Duration::from_secs(20);

/// The interval at which the alert and the tallies are checked.
const LOOK: Duration = Duration::from_millis(250);

/// The time limit of each phase: until the waypoint is saturated, and until the alert has resolved.
const LONGEST: Duration = Duration::from_secs(180);

const SATURATION: &str = "narrows_point:saturation:max{point=\"shop/waypoint\"}";

/// Saturations at which a line is printed.
const THRESHOLDS: [f64; 2] = [0.5, 0.85];

/// The times of the events that decide the verdict.
#[derive(Debug, Default)]
struct Verdict {
    fired: Option<Duration>,
    failed: Option<Duration>,
    resolved: Option<Duration>,
}

impl Verdict {
    /// The concluding sentence.
    ///
    /// # Errors
    /// When the alert did not fire in time, or has not resolved.
    fn sentence(&self) -> Result<String> {
        match (self.fired, self.failed, self.resolved) {
            (Some(fired), Some(failed), Some(_)) if fired < failed => Ok(format!(
                "The alert fired {:.1} s before the waypoint failed a request of another workload (at a {HURRY}th of its usual `for`), and \
                 resolved afterwards.",
                (failed - fired).as_secs_f64()
            )),
            (None, ..) => bail!("the alert has not fired"),
            (_, None, _) => bail!("no request of another workload has failed: the neighbour was not noisy enough"),
            (Some(fired), Some(failed), Some(_)) => bail!(
                "the alert fired {:.1} s after a request of another workload had failed",
                fired.saturating_sub(failed).as_secs_f64()
            ),
            (_, _, None) => bail!("the alert has not resolved within {} s", LONGEST.as_secs()),
        }
    }
}

/// Runs the scenario, and prints its steps and events with their times. The mesh has its usual load already. Pictures of the page
/// are of the moment at which the alert fires, those of the dashboards of that at which a request of another workload fails.
///
/// # Errors
/// When the alert does not fire before the first failure, or does not resolve; or when a picture cannot be drawn.
pub(super) fn run(mesh: &mut Mesh, agent: &Agent, tour: &Tour, stop: &Stop, pictures: Option<&Path>) -> Result<()> {
    let prometheus = prometheus::start(agent)?;
    println!(
        "\nThe page:  {}\nPrometheus with the alerts of deploy/prometheus, their times divided by {HURRY}:  http://{}/alerts",
        tour.page(""),
        prometheus.address(),
    );
    // The agent knows the point since its first tick.
    agent.try_settle()?;
    let point = tour.point(WAYPOINT_NAME)?;
    let page = pictures.map(|directory| Pictures::new(tour, directory)).transpose()?;
    println!("{}", tour.calm(&point, CALM.as_secs()));
    pause(stop, CALM)?;
    let growth = format!(
        "The waypoint may use {QUOTA} of a CPU from now on. billing/payments opens {STEP:.0} connections per second more every {} s, until \
         a request of shop/cart or shop/search fails.",
        EVERY.as_secs()
    );
    println!("{}", tour.growth(growth));
    mesh.limit_waypoint(QUOTA)?;
    let mut run = Run {
        begin: Instant::now(),
        prometheus: &prometheus,
        tour,
        point: &point,
        page,
        passed: 0,
        verdict: Verdict::default(),
    };
    let before = mesh.others_failed()?;
    run.fill(mesh, before, stop)?;
    let (worst, lasted) = (Timestamp::now(), run.begin.elapsed());
    if run.verdict.failed.is_some() {
        println!("{}", tour.failing(&point, HOLD.as_secs()));
        pause(stop, HOLD)?;
    }
    mesh.stop_neighbour();
    run.say("payments stops");
    println!("{}", tour.over(&point));
    run.recover(stop)?;
    println!("\n{}", run.verdict.sentence()?);
    pictures.map_or(Ok(()), |directory| {
        dashboards::draw(&prometheus, worst, lasted, directory)
    })
}

/// Waits, unless somebody ends the demo.
fn pause(stop: &Stop, time: Duration) -> Result<()> {
    if stop.within(time)? {
        bail!("the demo was interrupted");
    }
    Ok(())
}

struct Run<'a> {
    begin: Instant,
    prometheus: &'a Prometheus,
    tour: &'a Tour,
    /// What opens the waypoint on the page.
    point: &'a str,
    /// What draws the page.
    page: Option<Pictures<'a>>,
    /// The number of thresholds that were exceeded.
    passed: usize,
    verdict: Verdict,
}

impl Run<'_> {
    fn say(&self, what: &str) -> Duration {
        let at = self.begin.elapsed();
        println!("{:>7.1} s  {what}", at.as_secs_f64());
        at
    }

    /// Increases the neighbour's load until another workload's request fails.
    fn fill(&mut self, mesh: &mut Mesh, before: u64, stop: &Stop) -> Result<()> {
        let (mut steps, mut due) = (0_u32, Duration::ZERO);
        while self.begin.elapsed() < LONGEST {
            if self.begin.elapsed() >= due {
                mesh.add_neighbour(STEP)?;
                (steps, due) = (steps + 1, due + EVERY);
                if steps % 5 == 0 {
                    self.say(&format!(
                        "payments opens {:.0} connections per second more than at the start",
                        f64::from(steps) * STEP
                    ));
                }
            }
            self.look_at_saturation()?;
            if self.verdict.fired.is_none()
                && let Some(description) = self.alert()?
            {
                let at = self.say(&format!("ALERT NarrowsPointSaturated fires: {description}"));
                self.verdict.fired = Some(at);
                if let Some(page) = &mut self.page {
                    page.draw(self.point)?;
                    // Drawing takes a while, and what would have grown meanwhile is not to come at once.
                    due = self.begin.elapsed() + EVERY;
                }
            }
            let failed = mesh.others_failed()? - before;
            if failed > 0 {
                let at = self.say(&format!(
                    "other workloads fail: requests of shop/cart and shop/search without an answer: {failed}"
                ));
                self.verdict.failed = Some(at);
                return Ok(());
            }
            pause(stop, LOOK)?;
        }
        Ok(())
    }

    /// Waits until the alert has resolved.
    fn recover(&mut self, stop: &Stop) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST {
            // The alert may still fire after the others have failed, which the verdict then reports.
            if self.verdict.fired.is_none() && self.alert()?.is_some() {
                self.verdict.fired = Some(self.say("ALERT NarrowsPointSaturated fires, too late"));
            }
            if self.verdict.fired.is_some() && self.alert()?.is_none() {
                self.verdict.resolved = Some(self.say("the alert has resolved"));
                return Ok(());
            }
            pause(stop, LOOK)?;
        }
        Ok(())
    }

    fn look_at_saturation(&mut self) -> Result<()> {
        let found = self.prometheus.query(SATURATION)?;
        let most = found.into_iter().max_by(|a, b| a.value.total_cmp(&b.value));
        if let Some(most) = most
            && let Some(threshold) = THRESHOLDS.get(self.passed)
            && most.value > *threshold
        {
            self.passed += 1;
            self.say(&format!(
                "{} of the waypoint is at {:.0} %, above {:.0} %",
                most.label("resource"),
                most.value * 100.0,
                threshold * 100.0
            ));
            if self.passed == THRESHOLDS.len() {
                println!("{}", self.tour.full(self.point));
            }
        }
        Ok(())
    }

    /// The summary of the alert, while it fires.
    fn alert(&self) -> Result<Option<String>> {
        let firing = self.prometheus.firing().context("Prometheus does not answer")?;
        let ours = firing.into_iter().find(|alert| {
            let is = |name: &str, value: &str| alert.get(name).is_some_and(|it| it == value);
            is("alertname", "NarrowsPointSaturated") && is("point", "shop/waypoint")
        });
        Ok(ours.map(|mut alert| alert.remove("description").unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_alert_before_the_failure_that_resolves_is_good() {
        let verdict = |fired, failed, resolved| {
            let seconds = |n: Option<u64>| n.map(Duration::from_secs);
            Verdict {
                fired: seconds(fired),
                failed: seconds(failed),
                resolved: seconds(resolved),
            }
            .sentence()
        };
        let good = verdict(Some(10), Some(22), Some(60)).expect("a warning in time");
        assert!(good.starts_with("The alert fired 12.0 s before"), "{good}");
        for bad in [
            verdict(None, Some(22), None),
            verdict(Some(30), Some(22), Some(60)),
            verdict(Some(10), None, Some(60)),
            verdict(Some(10), Some(22), None),
        ] {
            assert!(bad.is_err());
        }
    }
}
