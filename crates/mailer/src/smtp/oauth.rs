//! Access tokens for the login by XOAUTH2 (OAuth 2.0, RFC 6749): by client credentials, or by a refresh token.
//!
//! A token is cached and renewed before it ends. Mails that need one at the same time share one request (single flight), and
//! its failure. While the token server fails, a token that is still valid goes on being used.

mod http;
mod refresh_token;
mod token_error;

use std::time::{Duration, Instant};

use oauth2::{
    AuthType, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointNotSet, EndpointSet, HttpRequest,
    RequestTokenError, Scope, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenType},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::timeout};
use tokio_rustls::TlsConnector;

use self::http::HttpError;
pub(super) use self::{refresh_token::RefreshToken, token_error::TokenError};

/// A token is renewed this long before its end, or after four fifths of its life if that is short.
const MARGIN: Duration = Duration::from_mins(5);
/// How often a token server that fails is asked, while a token is still valid: each request may take as long as a login.
const RETRY: Duration = Duration::from_secs(30);
/// Life of a token whose server does not name it.
const ASSUMED_LIFE: Duration = Duration::from_mins(5);

/// How tokens of one mailbox are requested.
pub(super) struct TokenOptions {
    /// The token endpoint.
    pub(super) url: TokenUrl,
    /// Its TLS, unless it is on this machine.
    pub(super) tls: Option<TlsConnector>,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretString>,
    /// Without it tokens are requested by client credentials.
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) scopes: Vec<String>,
}

/// The tokens of one mailbox.
pub(super) struct TokenSource {
    client: BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    client_secret: Option<SecretString>,
    tls: Option<TlsConnector>,
    scopes: Vec<Scope>,
    state: Mutex<State>,
}

struct State {
    refresh_token: Option<RefreshToken>,
    cached: Option<CachedToken>,
    /// When the last request failed, and why.
    failure: Option<(Instant, TokenError)>,
}

struct CachedToken {
    token: SecretString,
    renew_at: Instant,
    ends_at: Instant,
}

impl TokenSource {
    pub(super) fn new(options: TokenOptions) -> Self {
        let mut client = BasicClient::new(ClientId::new(options.client_id))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(options.url);
        if let Some(secret) = &options.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        Self {
            client,
            client_secret: options.client_secret,
            tls: options.tls,
            scopes: options.scopes.into_iter().map(Scope::new).collect(),
            state: Mutex::new(State { refresh_token: options.refresh_token, cached: None, failure: None }),
        }
    }

    /// Returns a valid token, within `limit`.
    pub(super) async fn token(&self, limit: Duration) -> Result<SecretString, TokenError> {
        self.token_other_than(None, limit).await
    }

    /// Returns another token than this one, which a server has refused.
    pub(super) async fn renewed(&self, refused: &SecretString, limit: Duration) -> Result<SecretString, TokenError> {
        self.token_other_than(Some(refused), limit).await
    }

    async fn token_other_than(
        &self,
        refused: Option<&SecretString>,
        limit: Duration,
    ) -> Result<SecretString, TokenError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let is_refused =
            |cached: &CachedToken| refused.is_some_and(|it| it.expose_secret() == cached.token.expose_secret());
        state.cached.take_if(|cached| is_refused(cached));
        if let Some(cached) = state.cached.as_ref().filter(|cached| Instant::now() < cached.renew_at) {
            return Ok(cached.token.clone());
        }
        if let Some((at, failure)) = &state.failure {
            let still_valid = state.still_valid();
            // Another mail has tried meanwhile, or just before.
            if *at >= asked || still_valid.is_some() && at.elapsed() < RETRY {
                return still_valid.ok_or_else(|| failure.clone());
            }
        }
        match self.request(&mut state, limit).await {
            Ok(token) => Ok(token),
            Err(failure) => {
                state.failure = Some((Instant::now(), failure.clone()));
                state.still_valid().ok_or(failure)
            }
        }
    }

    /// Requests a token. A refused refresh token is read again from its file, where another mailer may have replaced it.
    async fn request(&self, state: &mut State, limit: Duration) -> Result<SecretString, TokenError> {
        let started = Instant::now();
        let exchange = async {
            let answer = self.exchange(state.refresh_token.as_ref()).await;
            let is_refused = matches!(answer, Err(TokenError::Refused { .. }));
            if is_refused && state.refresh_token.as_mut().is_some_and(RefreshToken::reread) {
                return self.exchange(state.refresh_token.as_ref()).await;
            }
            answer
        };
        let response = timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(TokenError::Unavailable("the token server did not answer in time".to_owned())))?;
        if let (Some(known), Some(new)) = (&mut state.refresh_token, response.refresh_token()) {
            known.replace(new.secret());
        }
        let life = response.expires_in().unwrap_or(ASSUMED_LIFE);
        let token = SecretString::from(response.access_token().secret().as_str());
        let renew_at = started + life.saturating_sub(MARGIN.min(life / 5));
        state.cached = Some(CachedToken { token: token.clone(), renew_at, ends_at: started + life });
        Ok(token)
    }

    async fn exchange(
        &self,
        refresh_token: Option<&RefreshToken>,
    ) -> Result<StandardTokenResponse<EmptyExtraTokenFields, BasicTokenType>, TokenError> {
        let send = |request: HttpRequest| http::send(request, self.tls.clone());
        let answer = if let Some(token) = refresh_token {
            let token = oauth2::RefreshToken::new(token.expose_secret().to_owned());
            let request = self.client.exchange_refresh_token(&token).add_scopes(self.scopes.clone());
            request.request_async(&send).await
        } else {
            let request = self.client.exchange_client_credentials().add_scopes(self.scopes.clone());
            request.request_async(&send).await
        };
        answer.map_err(|error| self.token_error(error, refresh_token))
    }

    /// What the failure means; without secrets, should the server repeat them.
    fn token_error(
        &self,
        error: RequestTokenError<HttpError, BasicErrorResponse>,
        refresh_token: Option<&RefreshToken>,
    ) -> TokenError {
        let hidden = [
            self.client_secret.as_ref().map(ExposeSecret::expose_secret),
            refresh_token.map(RefreshToken::expose_secret),
        ];
        token_error::of(error, hidden.into_iter().flatten())
    }
}

impl State {
    /// The cached token, if it has not ended.
    fn still_valid(&self) -> Option<SecretString> {
        let cached = self.cached.as_ref().filter(|cached| Instant::now() < cached.ends_at);
        cached.map(|cached| cached.token.clone())
    }
}

#[cfg(test)]
mod tests {
    use examhall_testkit::{TokenAnswer, TokenServer};

    use super::*;

    /// A source with a token of a minute's life, to be renewed now.
    async fn source(tokens: &TokenServer) -> TokenSource {
        let source = TokenSource::new(TokenOptions {
            url: TokenUrl::new(tokens.url()).expect("a URL"),
            tls: None,
            client_id: "id".to_owned(),
            client_secret: None,
            refresh_token: None,
            scopes: Vec::new(),
        });
        let now = Instant::now();
        let old = CachedToken { token: "old".into(), renew_at: now, ends_at: now + Duration::from_mins(1) };
        source.state.lock().await.cached = Some(old);
        source
    }

    async fn token(source: &TokenSource) -> String {
        source.token(Duration::from_secs(10)).await.expect("a token").expose_secret().to_owned()
    }

    #[tokio::test]
    async fn token_is_renewed_while_it_is_valid() {
        let tokens = TokenServer::start().await;
        tokens.answer(TokenAnswer::Issue { life: 3600, refresh_token: None });
        let source = source(&tokens).await;
        assert_eq!((token(&source).await.as_str(), token(&source).await.as_str()), ("token-1", "token-1"));
        assert_eq!(tokens.requests().len(), 1);
    }

    #[tokio::test]
    async fn valid_token_outlives_its_server() {
        let tokens = TokenServer::start().await;
        tokens.answer(TokenAnswer::Close);
        let source = source(&tokens).await;
        for _ in 0..3 {
            assert_eq!(token(&source).await, "old");
        }
        assert_eq!(tokens.requests().len(), 1, "it is not asked for each mail");
        let refused = SecretString::from("old");
        assert!(source.renewed(&refused, Duration::from_secs(10)).await.is_err(), "a refused token is not used again");
        assert_eq!(tokens.requests().len(), 2);
    }
}
