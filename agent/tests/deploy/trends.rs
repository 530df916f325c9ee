//! Hours until a resource is full: which courses of nine days are a trend, and that the band around it has the true time.

use super::{
    manifests::succeed,
    prometheus::{directory, read},
};
use narrows_testbed::tools::tool;
use serde_json::{Value, json};
use std::{f64::consts::TAU, fs, process::Command};

/// The length of a course, in days.
const DAYS: usize = 9;

/// Samples a day: one in five minutes.
const A_DAY: usize = 288;

/// Numbers between -1 and 1 without any order, the same at each run (the generator of `java.util.Random`).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(11) & ((1 << 48) - 1);
        (self.0 >> 16) as f64 / f64::from(1_u32 << 31) - 1.0
    }
}

/// A course of a resource: its saturation by day, without noise, and how much noise there is.
struct Course {
    name: &'static str,
    saturation: fn(f64) -> f64,
    noise: f64,
}

/// What is no trend.
const NONE: [Course; 7] = [
    Course {
        name: "noise",
        saturation: |_| 0.5,
        noise: 0.3,
    },
    Course {
        name: "constant",
        saturation: |_| 0.03,
        noise: 0.0,
    },
    Course {
        name: "daily-wave",
        saturation: |day| 0.5 + 0.3 * (TAU * day).sin(),
        noise: 0.02,
    },
    Course {
        name: "working-hours",
        saturation: |day| 0.3 + 0.4 * f64::from((0.3..0.75).contains(&day.fract())),
        noise: 0.02,
    },
    Course {
        name: "reset-each-night",
        saturation: |day| 0.2 + 0.6 * day.fract(),
        noise: 0.01,
    },
    Course {
        name: "step",
        saturation: |day| if day < 4.3 { 0.4 } else { 0.6 },
        noise: 0.02,
    },
    Course {
        name: "falls",
        saturation: |day| 0.9 - 0.08 * day,
        noise: 0.01,
    },
];

/// What is a trend at its end, with the window that shows it, and how many hours are left in truth.
const TRENDS: [(Course, &str, f64); 3] = [
    (
        Course {
            name: "leak-of-a-day",
            saturation: |day| 0.2 + 0.5 * (day - 8.0).max(0.0),
            noise: 0.02,
        },
        "6h",
        0.3 / 0.5 * 24.0,
    ),
    (
        Course {
            name: "growth-of-days",
            saturation: |day| 0.05 + 0.08 * day,
            noise: 0.02,
        },
        "1d",
        0.23 / 0.08 * 24.0,
    ),
    // The greatest of each day is what fills it.
    (
        Course {
            name: "daily-wave-that-grows",
            saturation: |day| 0.2 + 0.03 * day + 0.2 * (TAU * day).sin(),
            noise: 0.01,
        },
        "7d",
        (1.0 - 0.4 - 0.01 - 0.03 * 8.25) / 0.03 * 24.0,
    ),
];

fn series(course: &Course) -> Value {
    let mut noise = Noise(course.name.len() as u64);
    let values: Vec<_> = (0..=DAYS * A_DAY)
        .map(|n| {
            let day = n as f64 / A_DAY as f64;
            format!("{:.5}", (course.saturation)(day) + course.noise * noise.next())
        })
        .collect();
    json!({
        "series": format!("narrows_point:saturation:max{{point={:?},kind=\"waypoint\",resource=\"cpu\"}}", course.name),
        "values": values.join(" "),
    })
}

/// A check at the end of the course.
fn check(expression: &str, found: &[(String, f64)]) -> Value {
    let samples = found
        .iter()
        .map(|(labels, value)| json!({ "labels": format!("{{{labels}}}"), "value": value }));
    json!({
        "expr": expression,
        "eval_time": format!("{DAYS}d"),
        "exp_samples": samples.collect::<Vec<_>>(),
    })
}

#[test]
fn a_trend_is_told_from_noise_waves_and_steps_and_its_band_has_the_true_time() {
    let trend = "narrows_point:hours_to_full:trend";
    let point = |course: &Course| format!("point={:?}", course.name);
    let quiet = NONE.map(|course| course.name).join("|");
    let mut checks = vec![check(
        &format!("group by (point, window) (last_over_time({trend}{{point=~{quiet:?}}}[{DAYS}d]))"),
        &[],
    )];
    for (course, window, hours) in &TRENDS {
        let labels = point(course);
        let shown = format!("{labels},window={window:?}");
        checks.push(check(
            &format!("group by (point, window) ({trend}{{{labels}}})"),
            &[(shown.clone(), 1.0)],
        ));
        let within = format!(
            "group by (point, window) (narrows_point:hours_to_full:earliest{{{labels}}} <= {hours} and narrows_point:hours_to_full:latest >= {hours} \
             and narrows_point:hours_to_full:latest < 1.9 * narrows_point:hours_to_full:earliest)"
        );
        checks.push(check(&within, &[(shown, 1.0)]));
    }
    let courses = NONE.iter().chain(TRENDS.iter().map(|(course, ..)| course));
    // Only the rules about trends, as a course is of a recorded series.
    let written = tempfile::tempdir().expect("a directory");
    let groups = read(&directory().join("rules.yaml"))["groups"].clone();
    let trends = groups.as_array().expect("groups").iter();
    let trends: Vec<_> = trends.filter(|group| group["name"] == "narrows-trends").collect();
    assert_eq!(trends.len(), 1);
    let rules = written.path().join("rules.json");
    fs::write(&rules, json!({ "groups": trends }).to_string()).expect("it can be written");
    let test = written.path().join("test.json");
    let content = json!({
        "rule_files": [rules],
        "evaluation_interval": "5m",
        "tests": [{
            "name": "nine days",
            "interval": "5m",
            "input_series": courses.map(series).collect::<Vec<_>>(),
            "promql_expr_test": checks,
        }],
    });
    fs::write(&test, content.to_string()).expect("it can be written");
    succeed(
        Command::new(tool("promtool").expect("promtool"))
            .args(["test", "rules"])
            .arg(test),
    );
}
