//! Writes the OpenAPI document of the API to stdout: docs/openapi.json. `cargo xtask docs` runs it.

use narrows::api::document;

fn main() -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&document())?);
    Ok(())
}
