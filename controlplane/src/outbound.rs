//! How does the box ask somebody else's server? One POST or GET: in clear or over TLS, within a time, and no further than where it was sent.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time for all of it: name, connection, handshake, answer.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Of the answer to a POST so much is read, bytes: what it says does not matter.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

/// The status, and the body or why there is none.
type Answer = (StatusCode, Result<Bytes, String>);

impl Place {
    /// The place of a URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the rest of a sentence that begins with its name.
    pub fn of(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("is no URL: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("must begin with https:// or http://".to_owned()),
        };
        let Some(authority) = uri.authority() else { return Err("names no host".to_owned()) };
        if authority.as_str().contains('@') {
            return Err("must have no user and password in it".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { uri, host, port, is_tls })
    }

    /// Posts JSON, and tells the status.
    ///
    /// # Errors
    ///
    /// A sentence on why there was no answer.
    pub(crate) async fn post(
        &self,
        headers: [(HeaderName, String); 3],
        body: Bytes,
    ) -> Result<StatusCode, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            request.headers_mut().insert(name, value);
        }
        self.in_time(request, ANSWER_BYTES_MAX).await.map(|(status, _)| status)
    }

    /// Gets what is there, of so many bytes at most.
    ///
    /// # Errors
    ///
    /// A sentence on why there was no answer, or none with status 200.
    pub(crate) async fn get(&self, accept: &'static str, bytes_max: usize) -> Result<Bytes, String> {
        let mut request = Request::new(Full::new(Bytes::new()));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        match self.in_time(request, bytes_max).await? {
            (StatusCode::OK, body) => body,
            (status, _) => Err(format!("the answer was {status}, and 200 was expected")),
        }
    }

    async fn in_time(&self, request: Request<Full<Bytes>>, bytes_max: usize) -> Result<Answer, String> {
        let timed = tokio::time::timeout(TIME_MAX, self.exchange(request, bytes_max)).await;
        timed.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", TIME_MAX.as_secs())))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, bytes_max: usize) -> Result<Answer, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("{}:{} cannot be reached: {error}", self.host, self.port))?;
        let _ = stream.set_nodelay(true);
        if !self.is_tls {
            return self.ask(stream, request, bytes_max).await;
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(trust()?);
        let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        self.ask(stream, request, bytes_max).await
    }

    async fn ask<S>(
        &self,
        stream: S,
        mut request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        *request.uri_mut() = path.parse().map_err(|_error| "the path is none".to_owned())?;
        let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(concat!("jarvis/", env!("CARGO_PKG_VERSION"))));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| error.to_string());
        let answer = match answer {
            Ok(answer) => {
                let status = answer.status();
                // Redirections are not followed: whoever may redirect would say where events go, and whose keys count.
                let body = Limited::new(answer.into_body(), bytes_max).collect().await;
                let body =
                    body.map(|body| body.to_bytes()).map_err(|error| match error.is::<LengthLimitError>() {
                        true => format!("the answer has more than {bytes_max} bytes"),
                        false => format!("the answer broke off: {error}"),
                    });
                Ok((status, body))
            }
            Err(error) => Err(error),
        };
        connection.abort();
        answer
    }
}

/// The authorities of the system (Debian's ca-certificates), read with the first exchange over TLS.
fn trust() -> Result<Arc<ClientConfig>, String> {
    static TRUST: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(trust) = TRUST.get() {
        return Ok(Arc::clone(trust));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this box trusts no authority: install the package ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(TRUST.get_or_init(|| Arc::new(config))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_what_is_none() {
        let place = Place::of("https://hooks.example/a?b=c").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.is_tls), ("hooks.example", 443, true));
        let place = Place::of("http://[::1]:8080/").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.is_tls), ("::1", 8080, false));
        for url in [
            "",
            "hooks.example",
            "ftp://hooks.example/",
            "https:///a",
            "https://u:p@hooks.example/",
            "https://ho st/",
        ] {
            assert!(Place::of(url).is_err(), "{url}");
        }
    }
}
