//! Fetches certificates of SNS, and confirms subscriptions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout,
};
use url::Url;

use super::provider::Refusal;

/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const LARGEST: usize = 64 * 1024;
/// Certificates that are kept: Amazon has one for each region, and another one each year.
const MOST: usize = 32;

type Https = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// An HTTPS client that follows no redirect, and the certificates that it has fetched.
#[derive(Default)]
pub(super) struct SnsClient {
    client: OnceCell<Https>,
    /// One request at a time: a stranger can make us ask Amazon for what is not there.
    certificates: Mutex<HashMap<Url, Arc<[u8]>>>,
}

impl SnsClient {
    /// Returns the certificate at a URL whose host was checked.
    pub(super) async fn certificate(&self, url: &Url) -> Result<Arc<[u8]>, Refusal> {
        let mut certificates = self.certificates.lock().await;
        if let Some(known) = certificates.get(url) {
            return Ok(Arc::clone(known));
        }
        let certificate: Arc<[u8]> = self.get(url).await?.as_ref().into();
        if certificates.len() >= MOST {
            certificates.clear();
        }
        certificates.insert(url.clone(), Arc::clone(&certificate));
        Ok(certificate)
    }

    /// Confirms a subscription at a URL whose host was checked.
    pub(super) async fn confirm(&self, url: &Url) -> Result<(), Refusal> {
        self.get(url).await.map(drop)
    }

    async fn get(&self, url: &Url) -> Result<Bytes, Refusal> {
        let client = self.client.get_or_try_init(async || https()).await.map_err(|error| unreachable(&error))?;
        let uri = url.as_str().parse().map_err(|_| Refusal::Forbidden("it names no address"))?;
        let fetched = timeout(TIMEOUT, async {
            let answer = client.get(uri).await.map_err(|error| unreachable(&error))?;
            let status = answer.status();
            if status.is_client_error() {
                return Err(Refusal::Forbidden("Amazon does not know what it names"));
            }
            if !status.is_success() {
                return Err(Refusal::Unreachable(format!("SNS answers {status}")));
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| Refusal::Unreachable(error.to_string()))
        });
        fetched.await.unwrap_or_else(|_| Err(Refusal::Unreachable(format!("SNS does not answer within {TIMEOUT:?}"))))
    }
}

fn https() -> std::io::Result<Https> {
    let provider = rustls::crypto::ring::default_provider();
    let connector = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
    Ok(Client::builder(TokioExecutor::new()).build(connector.https_only().enable_http1().build()))
}

fn unreachable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Unreachable(error.to_string())
}
