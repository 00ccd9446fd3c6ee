//! What the numbers of `deploy/kubernetes` are made for.

use std::{fmt::Write, fs, path::PathBuf};

use anyhow::Context;
use examhall_core::with_commas;

use super::{
    costs::Costs,
    plan::{self, Plan},
};

/// Numbers of the manifests.
struct Manifests {
    /// Cores that an API pod requests, of the base and in production.
    requested: [f64; 2],
    /// The part of them at which there is to be a further pod, in %.
    utilization: f64,
    /// Most API pods, of the base and in production.
    most_apis: [f64; 2],
    /// Waiting mails for each of which KEDA adds a mailer, and most mailers.
    waiting: f64,
    most_mailers: f64,
}

impl Manifests {
    fn read() -> anyhow::Result<Self> {
        let api = text("base/api.yaml")?;
        let production = text("overlays/production/kustomization.yaml")?;
        let keda = text("components/keda/scaled-object.yaml")?;
        Ok(Self {
            requested: [
                number(&api, "requests: {cpu: ")? / 1_000.0,
                number(&production, "/requests/cpu, value: ")? / 1_000.0,
            ],
            utilization: number(&api, "averageUtilization: ")?,
            most_apis: [number(&api, "maxReplicas: ")?, number(&production, "/spec/maxReplicas, value: ")?],
            waiting: number(&keda, "\"bull:email:wait\", listLength: \"")?,
            most_mailers: number(&keda, "maxReplicaCount: ")?,
        })
    }
}

/// As a table.
pub(crate) fn table(costs: &Costs) -> anyhow::Result<String> {
    let Manifests { requested, utilization, most_apis, waiting, most_mailers } = Manifests::read()?;
    let many = Plan::of(1_000_000, costs);
    let students = |cores: f64| thousands(cores / many.api_cores * 1e6);
    let per_second = plan::SLOTS / plan::PROVIDER;
    let mut out = "| number | is enough for |\n|---|---|\n".to_owned();
    for ((which, apis), cores) in ["base", "overlay `production`"].into_iter().zip(most_apis).zip(requested) {
        let _ = writeln!(
            out,
            "| {which}: {apis} API pods at most, each of {cores} cores used by {utilization} % | {} students |",
            students(apis * cores)
        );
    }
    let _ = writeln!(
        out,
        "| KEDA: a further mailer for each {waiting} mails that wait | {} s of a mailer's work |\n\
         | KEDA: {most_mailers} mailers at most | {} mails an hour |",
        waiting / per_second,
        thousands(most_mailers * per_second * 3_600.0 * plan::USED)
    );
    Ok(out)
}

/// Down to whole thousands.
fn thousands(count: f64) -> String {
    with_commas(plan::to_u64(count / 1_000.0) * 1_000)
}

fn text(file: &str) -> anyhow::Result<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes").join(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The number behind the first of these words.
fn number(text: &str, words: &str) -> anyhow::Result<f64> {
    let (_, rest) = text.split_once(words).with_context(|| format!("no manifest has \"{words}\""))?;
    let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().with_context(|| format!("no number behind \"{words}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_made_for_the_plan() {
        let costs = Costs::kept().expect("costs");
        let manifests = Manifests::read().expect("manifests");
        assert!((manifests.utilization / 100.0 - plan::USED).abs() < 1e-9, "a core is planned to be used as far");
        let ([_, most], [_, cores]) = (manifests.most_apis, manifests.requested);
        let needed = Plan::of(100_000, &costs).api_cores;
        assert!(most * cores >= needed, "100,000 students need {needed} cores");
        let mailers = Plan::of(100_000, &costs).mailers;
        assert!(manifests.most_mailers >= mailers, "100,000 results within an hour need {mailers} mailers");
        let seconds = manifests.waiting * plan::PROVIDER / plan::SLOTS;
        assert!((10.0..=30.0).contains(&seconds), "{seconds} s of work: less would flutter, more would wait");
    }
}
