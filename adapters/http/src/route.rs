//! Where a principal is reached.

use hyper::Uri;

/// Reads a URL that containers can be sent to: `http` or `https`, with a host, and without a user or a fragment.
pub(crate) fn parse(url: &str) -> Result<Uri, RouteError> {
    // `Uri` drops fragments without a word.
    if url.contains('#') {
        return Err(RouteError::Fragment);
    }
    let uri: Uri =
        url.parse().map_err(|error: hyper::http::uri::InvalidUri| RouteError::Malformed(error.to_string()))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        scheme => return Err(RouteError::Scheme(scheme.unwrap_or_default().to_owned())),
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err(RouteError::User),
        Some(authority) if !authority.host().is_empty() => Ok(uri),
        _ => Err(RouteError::Malformed("it has no host".to_owned())),
    }
}

/// Why a URL cannot be where a principal is reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// It is no absolute URL.
    #[error("this is no absolute URL: {0}")]
    Malformed(String),
    /// Its scheme is neither `http` nor `https`.
    #[error("the scheme of the URL is `{0}`, where only http and https are spoken")]
    Scheme(String),
    /// It has a user or a password, which would be sent nowhere.
    #[error("the URL has a user before its host, whom nobody would be told of")]
    User,
    /// It has a fragment, which would be sent nowhere.
    #[error("the URL has a fragment, which nobody would be told of")]
    Fragment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_have_nothing_that_is_not_sent() {
        for url in ["http://127.0.0.1:8080/ucan", "https://example.com", "http://[::1]:80/?a=b"] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for url in ["", "/ucan", "example.com:80", "http://", "http://:80/", "http://a b/"] {
            assert!(matches!(parse(url), Err(RouteError::Malformed(_) | RouteError::Scheme(_))), "{url}");
        }
        assert_eq!(parse("ftp://example.com/"), Err(RouteError::Scheme("ftp".to_owned())));
        assert_eq!(parse("https://me@example.com/"), Err(RouteError::User));
        assert_eq!(parse("https://example.com/#a"), Err(RouteError::Fragment));
    }
}
