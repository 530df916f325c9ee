//! What the user sees when the API server misbehaves: metrics, status, log, and light traffic that proves that attribution
//! goes on.

#[path = "../common/mod.rs"]
mod common;
mod shop;

mod answers;
mod forbidden;
mod mesh_config;
mod modes;
mod names;
mod odd_objects;
mod outage;
mod relist;
mod requests;
mod reviews;
mod scope;
