//! Colours of Grafana's light theme.

pub(super) const TEXT: &str = "#24292e";
pub(super) const FAINT: &str = "#6e7379";
pub(super) const LINK: &str = "#1f62e0";
pub(super) const GRID: &str = "#e7e8ea";
pub(super) const BORDER: &str = "#dcdee2";
pub(super) const PANEL: &str = "#ffffff";
pub(super) const PAGE: &str = "#f4f5f5";

/// The classic palette: series get these in their order.
const PALETTE: [&str; 12] = [
    "#56a64b", "#e0b400", "#3274d9", "#fa6400", "#e02f44", "#8ab8ff", "#a352cc", "#705da0", "#19730e", "#c4162a",
    "#1250b0", "#c69b06",
];

/// The colour of the nth series.
pub(super) fn of_series(n: usize) -> &'static str {
    PALETTE[n % PALETTE.len()]
}

/// A colour by its name; others are taken for text.
pub(super) fn named(name: &str) -> &'static str {
    match name {
        "green" => "#56a64b",
        "yellow" => "#e0b400",
        "orange" => "#fa6400",
        "red" => "#e02f44",
        "blue" => "#3274d9",
        "purple" => "#a352cc",
        _ => TEXT,
    }
}
