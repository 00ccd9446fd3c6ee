//! Who reaches whom: the network policies of the rendered manifests, evaluated as Kubernetes defines them. A pod that no
//! policy of a direction selects is open in that direction; otherwise what one of them lets through is let through.

use serde_json::{Value, json};

use super::kubernetes::{built, built_with_drain, kind, name, pod};

const NAMESPACE: &str = "examhall";

/// One end of a connection: a pod, or a host outside of the cluster.
struct Peer {
    namespace: Option<&'static str>,
    labels: Value,
    address: Option<&'static str>,
}

/// A pod that the manifests make.
struct Pod {
    name: String,
    peer: Peer,
    /// Its named ports.
    ports: Vec<(String, u64)>,
}

struct Cluster {
    pods: Vec<Pod>,
    policies: Vec<Value>,
}

/// What a pod may want to reach: the name, protocol, port, and who listens there.
fn targets() -> Vec<(&'static str, &'static str, u64, Peer)> {
    let outside = || Peer { namespace: None, labels: json!({}), address: Some("203.0.113.9") };
    let dns = Peer { namespace: Some("kube-system"), labels: json!({"k8s-app": "kube-dns"}), address: None };
    let node = Peer { namespace: None, labels: json!({}), address: Some("169.254.20.10") };
    vec![
        ("dns", "UDP", 53, dns),
        ("node-dns", "UDP", 53, node),
        ("foreign-dns", "UDP", 53, outside()),
        ("redis", "TCP", 6379, outside()),
        ("sentinel", "TCP", 26379, outside()),
        ("postgres", "TCP", 5432, outside()),
        ("smtp", "TCP", 25, outside()),
        ("smtps", "TCP", 465, outside()),
        ("submission", "TCP", 587, outside()),
        ("https", "TCP", 443, outside()),
        ("otlp", "TCP", 4318, outside()),
        ("http", "TCP", 80, outside()),
        ("ssh", "TCP", 22, outside()),
    ]
}

/// Who may want to reach a pod of ours, and at which of its ports.
fn sources() -> Vec<(&'static str, &'static str, Peer)> {
    let from = |namespace| Peer { namespace: Some(namespace), labels: json!({}), address: None };
    vec![
        ("ingress>http", "http", from("ingress")),
        ("ingress>ops", "ops", from("ingress")),
        ("monitoring>ops", "ops", from("monitoring")),
    ]
}

impl Cluster {
    fn of(objects: &[Value]) -> Self {
        let pods = objects.iter().filter_map(|object| {
            let pod = pod(object)?;
            let labels = pod["metadata"]["labels"].clone();
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let ports = containers.filter_map(|container| container["ports"].as_array()).flatten();
            let ports =
                ports.filter_map(|port| Some((port["name"].as_str()?.to_owned(), port["containerPort"].as_u64()?)));
            let peer = Peer { namespace: Some(NAMESPACE), labels, address: None };
            Some(Pod { name: name(object).to_owned(), peer, ports: ports.collect() })
        });
        let policies = objects.iter().filter(|object| kind(object) == "NetworkPolicy").map(|it| it["spec"].clone());
        Self { pods: pods.collect(), policies: policies.collect() }
    }

    /// Returns one line per pod: what it reaches, and who reaches it.
    fn table(&self) -> Vec<String> {
        let lines =
            self.pods.iter().filter(|pod| pod.name.starts_with("examhall-")).map(|Pod { name, peer: me, ports }| {
                let reached = targets()
                    .into_iter()
                    .filter(|(_, protocol, port, peer)| self.lets("Egress", me, peer, protocol, *port, &[]));
                let out: Vec<_> = reached.map(|(what, ..)| what).collect();
                let reaching = sources().into_iter().filter(|(_, wanted, peer)| {
                    let port = ports.iter().find(|(name, _)| name == wanted);
                    port.is_some_and(|(_, port)| self.lets("Ingress", me, peer, "TCP", *port, ports))
                });
                let from: Vec<_> = reaching.map(|(what, ..)| what).collect();
                format!("{name}: {} | {}", out.join(" "), from.join(" "))
            });
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        lines
    }

    fn lets(&self, way: &str, me: &Peer, peer: &Peer, protocol: &str, port: u64, names: &[(String, u64)]) -> bool {
        let selects = |policy: &&Value| {
            let is_of_way = policy["policyTypes"].as_array().is_some_and(|types| types.contains(&json!(way)));
            is_of_way && matches(&policy["podSelector"], &me.labels)
        };
        let mine: Vec<_> = self.policies.iter().filter(selects).collect();
        let (rules, peers) = if way == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
        mine.is_empty()
            || mine
                .iter()
                .flat_map(|policy| policy[rules].as_array().into_iter().flatten())
                .any(|rule| is_peer(&rule[peers], peer) && is_port(&rule["ports"], protocol, port, names))
    }
}

/// Evaluates a label selector; an empty one selects all.
fn matches(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
    equal
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            assert_eq!(expression["operator"], "In", "an operator that this test does not know");
            let values = expression["values"].as_array().expect("values");
            values.contains(&labels[expression["key"].as_str().expect("a key")])
        })
}

fn is_peer(allowed: &Value, peer: &Peer) -> bool {
    let Some(allowed) = allowed.as_array() else { return true }; // anybody
    allowed.iter().any(|one| match (one["ipBlock"]["cidr"].as_str(), peer.namespace) {
        (Some(cidr), None) => peer.address.is_some_and(|address| cidr == format!("{address}/32")),
        (Some(_), Some(_)) | (None, None) => false,
        (None, Some(namespace)) => {
            let is_of_namespace = if one["namespaceSelector"].is_null() {
                namespace == NAMESPACE
            } else {
                matches(&one["namespaceSelector"], &json!({"kubernetes.io/metadata.name": namespace}))
            };
            is_of_namespace && matches(&one["podSelector"], &peer.labels)
        }
    })
}

fn is_port(allowed: &Value, protocol: &str, port: u64, names: &[(String, u64)]) -> bool {
    let Some(allowed) = allowed.as_array() else { return true };
    allowed.iter().any(|one| {
        let number = match &one["port"] {
            Value::String(name) => names.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
            number => number.as_u64(),
        };
        one["protocol"].as_str().unwrap_or("TCP") == protocol && number == Some(port)
    })
}

const MAILER: &str = "dns node-dns redis sentinel smtp smtps submission https otlp";

#[test]
fn pods_of_production_reach_what_they_need_and_nothing_else() {
    let drain = format!("examhall-mailer-drain: {MAILER} | ");
    let rest = [
        "examhall-api: dns node-dns redis sentinel postgres https otlp | ingress>http monitoring>ops".to_owned(),
        "examhall-migrate: dns node-dns redis sentinel postgres otlp | ".to_owned(),
        format!("examhall-mailer: {MAILER} | monitoring>ops"),
    ];
    let mut expected = rest.to_vec();
    expected.sort();
    assert_eq!(Cluster::of(&built("production")).table(), expected);
    expected.push(drain);
    expected.sort();
    assert_eq!(Cluster::of(&built_with_drain("production")).table(), expected);
}

#[test]
fn pods_of_development_reach_its_servers() {
    let cluster = Cluster::of(&built("development"));
    let lets = |from: &str, to: &str, port| {
        let find = |wanted: &str| cluster.pods.iter().find(|pod| pod.name == wanted).expect("a pod");
        let (from, to) = (find(from), find(to));
        cluster.lets("Egress", &from.peer, &to.peer, "TCP", port, &to.ports)
            && cluster.lets("Ingress", &to.peer, &from.peer, "TCP", port, &to.ports)
    };
    for from in ["examhall-api", "examhall-mailer", "examhall-mailer-drain"] {
        assert!(lets(from, "redis", 6379), "{from}");
    }
    assert!(lets("examhall-mailer", "mailpit", 1025) && lets("examhall-mailer-drain", "mailpit", 1025));
    assert!(lets("examhall-api", "postgres", 5432) && lets("examhall-migrate", "postgres", 5432));
    for line in cluster.table() {
        assert!(line.contains(": dns node-dns redis "), "{line}");
    }
}
