//! A router that remembers its paths, so that a test can hold each of them against the table of who
//! may ask it: a path that nobody thought of cannot be there.

use std::sync::Arc;

use axum::{Router, routing::MethodRouter};

use crate::app::App;

/// Paths and what answers under them.
pub(crate) struct Paths {
    router: Router<Arc<App>>,
    paths: Vec<String>,
}

impl Paths {
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            paths: Vec::new(),
        }
    }

    /// Answers under a path.
    pub(crate) fn route(mut self, path: &str, methods: MethodRouter<Arc<App>>) -> Self {
        self.paths.push(path.to_owned());
        self.router = self.router.route(path, methods);
        self
    }

    /// The paths of another one too.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }

    /// The paths of another one too, below `prefix`.
    pub(crate) fn nest(mut self, prefix: &str, other: Self) -> Self {
        let nested = other.paths.iter().map(|path| format!("{prefix}{path}"));
        self.paths.extend(nested);
        self.router = self.router.nest(prefix, other.router);
        self
    }

    /// The same paths behind something that all requests go through.
    pub(crate) fn behind(
        mut self,
        layer: impl FnOnce(Router<Arc<App>>) -> Router<Arc<App>>,
    ) -> Self {
        self.router = layer(self.router);
        self
    }

    /// Every path, as routers write it.
    pub(crate) fn names(&self) -> &[String] {
        &self.paths
    }

    /// The router, with what its handlers need.
    pub(crate) fn with(self, app: Arc<App>) -> Router {
        self.router.with_state(app)
    }
}
