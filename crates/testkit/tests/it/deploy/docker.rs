//! `deploy/docker`. There is no Docker where the tests run: what can be read is read.

use serde_json::Value;

use super::{documents, read, root, run, tool};

#[test]
fn the_dockerfile_has_no_known_fault() {
    run(tool("hadolint").args(["--failure-threshold", "style", "deploy/docker/Dockerfile"]));
    let text = read("deploy/docker/Dockerfile");
    let (_, last_stage) = text.rsplit_once("\nFROM ").expect("stages");
    assert!(last_stage.contains("\nUSER 65532:65532\n"), "it runs as nobody in particular");
    // What it asks is tested with the program: testkit's `check_live_reports_whether_the_api_runs`.
    let health =
        r#"HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/api", "check", "--live"]"#;
    assert!(last_stage.contains(health), "Docker asks nobody whether it is well");
    assert!(last_stage.contains(" API_BIND=0.0.0.0:8000 "), "no published port reaches it");
    assert!(!text.contains("# syntax"), "an image to pull for nothing");
    let rust = read("Cargo.toml");
    let rust =
        rust.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).expect("a version");
    assert!(text.contains(&format!("FROM rust:{rust}")), "the image builds with the toolchain of Cargo.toml, {rust}");
}

#[test]
fn the_image_is_built_from_all_that_cargo_reads() {
    let ignored = read("deploy/docker/Dockerfile.dockerignore");
    for needed in ["Cargo.toml", "Cargo.lock", "crates"] {
        assert!(ignored.lines().any(|line| line == format!("!{needed}")), "{needed} is left out");
    }
    assert!(ignored.lines().any(|line| line == "*"), "target/ and data/ would be sent along");
}

#[test]
fn compose_follows_its_schema_and_gives_settings_that_exist() {
    run(tool("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec", "deploy/docker/compose.yaml"]));
    let compose = &documents(&root().join("deploy/docker/compose.yaml"))[0];
    for (service, port) in [("api", "9000"), ("mailer", "9001")] {
        let settings = compose["services"][service]["environment"].as_object().expect("settings");
        known_settings(settings.keys());
        assert!(read("deploy/prometheus/prometheus.yml").contains(port), "{service} is watched");
    }
    let redis = compose["services"]["redis"]["command"].to_string();
    assert!(redis.contains("noeviction") && redis.contains(r#""--appendonly","yes""#), "{redis}");
    for (name, service) in compose["services"].as_object().expect("services") {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
        let health = &service["healthcheck"];
        assert!(health.is_null() || health["start_period"] == "60s", "{name} fails where its start is slow");
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let (from, _) = volume.split_once(':').expect("a target");
            let there = !from.starts_with('.') || root().join("deploy/docker").join(from).exists();
            assert!(there, "{name} mounts {from}, which is not there");
        }
    }
}

/// Fails where `.env.example` lists no such setting; `X_FILE` counts as X.
pub(super) fn known_settings<'a>(names: impl Iterator<Item = &'a String>) {
    let listed = read(".env.example");
    for name in names {
        let setting = name.strip_suffix("_FILE").unwrap_or(name);
        assert!(listed.contains(&format!("\n#{setting}=")), "{name} is no setting");
    }
}
