//! `deploy/kubernetes`: what kustomize makes of it, against the schemas of three versions and rules of our own.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{docker::known_settings, documents, root, run, tool};

const VERSIONS: &[&str] = &["1.32", "1.35", "1.37"];
const OVERLAYS: &[&str] = &["development", "production"];
/// Their schemas are those of KEDA and of the Prometheus Operator, not of Kubernetes.
const FOREIGN: &[&str] = &["ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"];

/// All that an overlay makes.
pub(super) fn built(overlay: &str) -> Vec<Value> {
    rendered(&format!("deploy/kubernetes/overlays/{overlay}"))
}

/// The same with the component `drain`, which an overlay of ones own may name.
pub(super) fn built_with_drain(overlay: &str) -> Vec<Value> {
    let target = root().join("target");
    fs::create_dir_all(&target).expect("a folder can be made");
    let folder = tempfile::tempdir_in(target).expect("a temporary folder");
    let manifest = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "examhall",
        "resources": [format!("../../deploy/kubernetes/overlays/{overlay}")],
        "components": ["../../deploy/kubernetes/components/drain"],
    });
    fs::write(folder.path().join("kustomization.yaml"), manifest.to_string()).expect("a file can be written");
    rendered(folder.path().to_str().expect("UTF-8"))
}

fn rendered(kustomization: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let yaml = run(tool("kubectl").args(["kustomize", kustomization]));
    let file = folder.path().join("all.yaml");
    fs::write(&file, yaml).expect("a file can be written");
    documents(&file)
}

/// Everything that anybody is meant to apply.
fn everything() -> Vec<(String, Value)> {
    let of = |overlay: &&str| (overlay.to_string(), built(overlay));
    let all = OVERLAYS.iter().map(of).chain([("with drain".to_owned(), built_with_drain("production"))]);
    all.flat_map(|(overlay, objects)| objects.into_iter().map(move |object| (overlay.clone(), object))).collect()
}

pub(super) fn kind(object: &Value) -> &str {
    object["kind"].as_str().expect("a kind")
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

/// The pod that an object makes, if it makes one.
pub(super) fn pod(object: &Value) -> Option<&Value> {
    let template = match kind(object) {
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        "Deployment" | "Job" => &object["spec"]["template"],
        _ => return None,
    };
    Some(template)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

#[test]
fn manifests_follow_the_schemas_of_three_versions() {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let ours = everything().into_iter().filter(|(_, object)| !FOREIGN.contains(&kind(object)));
    // YAML takes JSON as it is.
    let text: Vec<_> = ours.map(|(_, object)| format!("---\n{object}\n")).collect();
    assert!(text.len() > 40, "{}", text.len());
    let file: PathBuf = folder.path().join("all.yaml");
    fs::write(&file, text.concat()).expect("a file can be written");
    for version in VERSIONS {
        run(tool("kubernetes-validate").args(["--strict", "--quiet", "-k", version]).arg(&file));
    }
}

#[test]
fn every_container_is_shut_in() {
    for (overlay, object) in everything() {
        let Some(pod) = pod(&object) else { continue };
        let place = format!("{overlay}: {} {}", kind(&object), name(&object));
        let security = &pod["spec"]["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{place}");
        assert!(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "{place}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{place}");
        let account = pod["spec"]["automountServiceAccountToken"].as_bool();
        assert_eq!(account, Some(false), "{place} gets a token that it does not need");
        for container in containers(pod) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{place}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{place}");
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{place}");
            assert!(security["capabilities"]["add"].is_null() && security["privileged"].is_null(), "{place}");
        }
    }
}

#[test]
fn every_container_is_pinned_and_has_its_share() {
    for (overlay, object) in everything() {
        for container in pod(&object).into_iter().flat_map(containers) {
            let place = format!("{overlay}: {} {}", name(&object), container["name"]);
            let image = container["image"].as_str().expect("an image");
            let pinned = image.contains("@sha256:") || image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest");
            assert!(pinned, "{place}: {image}");
            let resources = &container["resources"];
            for share in
                [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]]
            {
                assert!(share.is_string(), "{place}: {resources}");
            }
            assert!(resources["limits"]["cpu"].is_null(), "{place} would be throttled when it is needed most");
            let shell = |word: &Value| word.as_str().is_some_and(|word| word.ends_with("sh"));
            let first = container["command"].get(0).or_else(|| container["args"].get(0));
            assert!(first.is_some_and(|word| !shell(word)), "{place}: the program is not PID 1");
        }
    }
}

#[test]
fn the_guide_names_the_shares_that_the_manifests_give() {
    let guide = super::read("docs/deploy-kubernetes.md");
    let objects = built("production");
    for wanted in ["examhall-api", "examhall-mailer"] {
        let deployment = objects.iter().find(|object| kind(object) == "Deployment" && name(object) == wanted);
        let pod = pod(deployment.expect("a deployment")).expect("a pod");
        let resources = &containers(pod).next().expect("a container")["resources"];
        let share = |of: &str, what: &str| resources[of][what].as_str().expect("a share").to_owned();
        let (cpu, memory) = (share("requests", "cpu"), share("requests", "memory"));
        let row = format!("| `{wanted}` | cpu {cpu}, memory {memory} | memory {} |", share("limits", "memory"));
        assert!(guide.contains(&row), "docs/deploy-kubernetes.md does not say {row}");
    }
}

#[test]
fn what_runs_all_the_time_is_probed_and_disrupted_one_by_one() {
    for overlay in OVERLAYS {
        let objects = built(overlay);
        for deployment in objects.iter().filter(|object| kind(object) == "Deployment") {
            let container = containers(pod(deployment).expect("a pod")).next().expect("a container");
            for probe in ["livenessProbe", "readinessProbe"] {
                assert!(container[probe].is_object(), "{overlay}: {} has no {probe}", name(deployment));
            }
            if !name(deployment).starts_with("examhall-") {
                continue;
            }
            // Alive is who says so itself; only readiness may ask for others.
            assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
            assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
            let labels = &deployment["spec"]["selector"]["matchLabels"];
            let budget = |object: &&Value| {
                kind(object) == "PodDisruptionBudget" && object["spec"]["selector"]["matchLabels"] == *labels
            };
            let budget = objects.iter().find(budget).unwrap_or_else(|| panic!("{} has no budget", name(deployment)));
            assert_eq!(budget["spec"]["maxUnavailable"], 1);
            assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
            assert!(deployment["spec"]["replicas"].is_null(), "each rollout would undo the scaling");
            assert_eq!(
                pod(deployment).expect("a pod")["spec"]["topologySpreadConstraints"].as_array().map(Vec::len),
                Some(2)
            );
        }
    }
}

#[test]
fn stopping_takes_as_long_as_the_programs_may_take() {
    let objects = built("production");
    let settings = objects.iter().find(|object| kind(object) == "ConfigMap").expect("a ConfigMap");
    assert_eq!(settings["data"]["API_DRAIN_DELAY_MS"], "0", "preStop has waited already");
    let grace = |wanted: &str| {
        let deployment = objects.iter().find(|object| kind(object) == "Deployment" && name(object) == wanted);
        let pod = pod(deployment.expect("a deployment")).expect("a pod").clone();
        let wait = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
        pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a time") - wait
    };
    assert!(grace("examhall-api") > 20 + 5, "requests in flight have 20 s");
    assert!(grace("examhall-mailer") > 60, "mails in flight have 60 s");
}

#[test]
fn settings_exist_and_secrets_come_by_reference() {
    for (overlay, object) in everything() {
        if kind(&object) == "ConfigMap" {
            known_settings(object["data"].as_object().expect("data").keys());
        }
        assert!(overlay != "production" || kind(&object) != "Secret", "a secret in production");
        if !name(&object).starts_with("examhall-") {
            continue;
        }
        let Some(pod) = pod(&object) else { continue };
        for variable in containers(pod).flat_map(|container| container["env"].as_array().into_iter().flatten()) {
            let setting = variable["name"].as_str().expect("a name").to_owned();
            assert!(setting.ends_with("_FILE"), "{overlay}: {setting} is readable");
            known_settings([&setting].into_iter());
        }
    }
}

#[test]
fn changed_settings_roll_the_pods() {
    for overlay in OVERLAYS {
        let objects = built(overlay);
        let settings = objects.iter().find(|object| kind(object) == "ConfigMap").expect("a ConfigMap");
        let hash = name(settings).strip_prefix("examhall-settings-").expect("a hash of the content");
        for container in objects.iter().filter_map(pod).flat_map(containers) {
            let from = container["envFrom"][0]["configMapRef"]["name"].as_str();
            assert!(from.is_none_or(|name| name.ends_with(hash)), "{overlay}: {from:?}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for overlay in OVERLAYS {
        let objects = built(overlay);
        let has = |wanted: &str, called: &Value| {
            objects.iter().any(|object| kind(object) == wanted && name(object) == called.as_str().unwrap_or_default())
        };
        for object in &objects {
            let target = &object["spec"]["scaleTargetRef"];
            assert!(target.is_null() || has(target["kind"].as_str().expect("a kind"), &target["name"]), "{target}");
            let account = pod(object).map_or(&Value::Null, |pod| &pod["spec"]["serviceAccountName"]);
            assert!(account.is_null() || has("ServiceAccount", account), "{account}");
            assert!(kind(object) == "Namespace" || object["metadata"]["namespace"] == "examhall", "{object}");
            let monitored = (kind(object) == "ServiceMonitor").then(|| &object["spec"]["selector"]["matchLabels"]);
            let has_labels = |labels: &Value| {
                let labels = labels.as_object().expect("labels");
                let carries = |service: &&Value| {
                    kind(service) == "Service"
                        && labels.iter().all(|(key, value)| service["metadata"]["labels"][key] == *value)
                };
                objects.iter().filter(carries).count() == 1
            };
            assert!(monitored.is_none_or(has_labels), "{} watches nothing", name(object));
        }
    }
}

#[test]
fn the_mailer_never_scales_to_nothing_and_has_a_second_opinion() {
    let objects = built("production");
    let scaled = objects.iter().find(|object| kind(object) == "ScaledObject").expect("a ScaledObject");
    assert_eq!(scaled["spec"]["minReplicaCount"], 1, "delayed jobs are promoted by mailers alone");
    let triggers = scaled["spec"]["triggers"].as_array().expect("triggers");
    let metadata: Vec<_> = triggers.iter().map(|trigger| trigger["metadata"].to_string()).collect();
    for metric in ["mailer_oldest_waiting_seconds", "mailer_breaker_state", "mailer_rate_hold_seconds"] {
        assert!(metadata[0].contains(metric), "{metadata:?}");
    }
    for list in ["bull:email:wait", "bull:email:prioritized", "bull:email:delayed"] {
        assert!(metadata.iter().any(|trigger| trigger.contains(list)), "{list} is not looked at");
    }
}

#[test]
fn the_usual_prometheus_takes_notice_of_monitors_and_rules() {
    let objects = built("production");
    let watched: Vec<_> =
        objects.iter().filter(|one| ["ServiceMonitor", "PrometheusRule"].contains(&kind(one))).collect();
    assert_eq!(watched.len(), 3);
    for object in watched {
        assert_eq!(object["metadata"]["labels"]["release"], "kube-prometheus-stack", "{}", name(object));
    }
}
