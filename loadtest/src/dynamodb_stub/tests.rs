//! The endpoint over HTTP: asked by the SDK, and beside the real engines.

mod beside_engines;
mod by_sdk;
mod scene;
mod schedules;
