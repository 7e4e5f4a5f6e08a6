//! The Accounts API: a parent whose one key lists its child accounts and opens each of them, at the child's own host and
//! with its `account_id` in every call.

use serde_json::{Value, json};

use super::answer::{ApiError, Reply, Request};
use super::state::State;
use crate::json::dumps;
use crate::signature;

/// The parent of all accounts of a simulator.
#[derive(Clone, PartialEq, Eq)]
pub struct Parent {
    /// What it is called.
    pub name: String,
    /// Its integration key, of an Accounts API application.
    pub ikey: String,
    /// Its secret key.
    pub skey: String,
}

impl std::fmt::Debug for Parent {
    /// Everything but the secret key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parent")
            .field("name", &self.name)
            .field("ikey", &self.ikey)
            .finish_non_exhaustive()
    }
}

/// A parent and where its children live.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) parent: Parent,
    /// One for each account, in their order.
    pub(super) children: Vec<Child>,
}

/// A child account.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) account_id: String,
    /// `HOST:PORT`, where alone it can be reached with the parent's key.
    pub(super) host: String,
}

impl Child {
    /// Whether a request went to this child's host. Ports tell hosts apart: loopback has more than one name.
    fn is_at(&self, request: &Request) -> bool {
        let port = |host: &str| host.rsplit_once(':').map(|(_, port)| port.to_owned());
        let asked = request.header("host").and_then(port);
        asked.is_some() && asked == port(&self.host)
    }
}

impl Family {
    /// Which child a request with the parent's key is for.
    pub(super) fn child(&self, request: &Request, hidden: &[usize]) -> Result<usize, ApiError> {
        let Some(account_id) = account_id(request) else {
            // The parent's application opens no Admin API of its own.
            return Err(ApiError::WrongType);
        };
        let found = self.children.iter().position(|child| child.account_id == account_id);
        let at = found
            .filter(|at| !hidden.contains(at))
            .ok_or(ApiError::InvalidParameters("account_id"))?;
        let at_home = self.children.get(at).is_some_and(|child| child.is_at(request));
        if at_home { Ok(at) } else { Err(ApiError::Forbidden) }
    }

    /// Whether an account can be reached with its own key at the host a request went to: not at another child's.
    pub(super) fn opens(&self, at: usize, request: &Request) -> bool {
        let mut here = self.children.iter().filter(|child| child.is_at(request)).peekable();
        let own = self.children.get(at).map(|child| child.host.as_str());
        here.peek().is_none() || here.any(|child| Some(child.host.as_str()) == own)
    }

    /// `POST /accounts/v1/account/list`.
    pub(super) fn list(&self, state: &State, hidden: &[usize]) -> Reply {
        let children: Vec<Value> = self
            .children
            .iter()
            .enumerate()
            .filter(|(at, _)| !hidden.contains(at))
            .filter_map(|(at, child)| {
                let name = &state.accounts.get(at)?.name;
                Some(json!({"account_id": child.account_id, "api_hostname": child.host, "name": name}))
            })
            .collect();
        Reply::ok(&dumps(&Value::from(children)))
    }
}

/// `account_id`, from the query, a form or a JSON body.
fn account_id(request: &Request) -> Option<String> {
    let find = |pairs: Vec<(String, String)>| pairs.into_iter().find(|(name, _)| name == "account_id");
    if let Some((_, id)) = find(signature::pairs(request.query.as_bytes())) {
        return Some(id);
    }
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(body) => body.get("account_id").and_then(Value::as_str).map(str::to_owned),
        Err(_) => find(signature::pairs(&request.body)).map(|(_, id)| id),
    }
}
