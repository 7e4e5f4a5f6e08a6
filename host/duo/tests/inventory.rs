//! Objects of the account and the accounts below it, over the wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use common::{
    DATE, IKEY, NOW, Reply, Request, SECRET, certificate, client, client_of, config, http, serve, serve_with,
};
use picket_duo::sign::Signable;
use picket_duo::{ChildAccount, ClientConfig, DuoError, Inventory, InventoryPage, Kind, Scheme};

fn answer(body: &str) -> Reply {
    http("200 OK", &format!("Date: {DATE}\r\n"), body).into()
}

/// The first line's target.
fn target(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

async fn page_from(kind: Inventory, offset: u64, body: &str) -> Result<InventoryPage, DuoError> {
    let server = serve(vec![http("200 OK", &format!("Date: {DATE}\r\n"), body)]).await;
    client(&server).inventory(kind, offset).await
}

#[tokio::test]
async fn a_list_is_walked_by_offset_with_the_greatest_page() {
    let server = serve_with(certificate(), |_, request: &Request| {
        if target(&request.head).ends_with("offset=300") {
            answer(r#"{"metadata": {"prev_offset": 0, "total_objects": "301"}, "response": [{"user_id": "DU3"}], "stat": "OK"}"#)
        } else {
            answer(
                r#"{"metadata": {"next_offset": 300, "total_objects": 301}, "response": [{"user_id": "DU1"}, {"user_id": "DU2"}], "stat": "OK"}"#,
            )
        }
    })
    .await;
    let client = client(&server);
    let first = client.inventory(Inventory::Users, 0).await.unwrap();
    assert_eq!(
        (first.rows.len(), first.next_offset, first.total, first.server_date_ms),
        (2, Some(300), Some(301), Some(NOW))
    );
    let last = client.inventory(Inventory::Users, 300).await.unwrap();
    assert_eq!((last.rows.len(), last.next_offset, last.total), (1, None, Some(301)));
    let heads = server.heads();
    let targets: Vec<&str> = heads.iter().map(|head| target(head)).collect();
    assert_eq!(
        targets,
        [
            "/admin/v1/users?limit=300&offset=0",
            "/admin/v1/users?limit=300&offset=300"
        ]
    );
}

#[tokio::test]
async fn every_kind_has_its_page_and_a_single_object_is_a_page_of_one() {
    let server = serve_with(certificate(), |_, request: &Request| {
        if target(&request.head).contains("limit=") {
            answer(r#"{"metadata": {}, "response": [{}], "stat": "OK"}"#)
        } else {
            answer(r#"{"response": {"user_count": 7}, "stat": "OK"}"#)
        }
    })
    .await;
    let client = client(&server);
    for kind in Inventory::ALL {
        let page = client.inventory(kind, 0).await.unwrap();
        assert_eq!((page.rows.len(), page.next_offset), (1, None), "{kind}");
        let heads = server.heads();
        let asked = target(heads.last().unwrap());
        let expected = if kind.is_single() {
            kind.path().to_owned()
        } else {
            format!("{}?limit={}&offset=0", kind.path(), kind.page_limit())
        };
        assert_eq!(asked, expected);
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
}

#[tokio::test]
async fn an_offset_that_leads_nowhere_is_no_end() {
    for next in ["300", "0", "\"x\"", "[]", "-1"] {
        let body = format!(r#"{{"metadata": {{"next_offset": {next}}}, "response": [], "stat": "OK"}}"#);
        let error = page_from(Inventory::Users, 300, &body).await.unwrap_err();
        assert!(
            error.to_string().contains("`metadata.next_offset` leads nowhere"),
            "{next}: {error}"
        );
    }
    for end in [
        r#""metadata": {"next_offset": null}, "#,
        r#""metadata": [], "#,
        r#""metadata": null, "#,
        "",
    ] {
        let body = format!(r#"{{{end}"response": null, "stat": "OK"}}"#);
        let page = page_from(Inventory::Users, 300, &body).await.unwrap();
        assert_eq!((page.rows.len(), page.next_offset), (0, None), "{end}");
    }
    assert!(
        page_from(Inventory::Settings, 0, r#"{"response": [], "stat": "OK"}"#)
            .await
            .is_err()
    );
    assert!(
        page_from(Inventory::Users, 0, r#"{"response": {}, "stat": "OK"}"#)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn no_secret_gets_past_the_client() {
    // One object of each kind with everything that Duo is known to send, or might: each secret says "hunter2".
    let object = r#"{"integration_key": "DIX", "name": "VPN", "secret_key": "hunter2", "enroll_policy": "enroll",
        "sso": {"idp": {"client_secret": "hunter2", "private_key": "hunter2"}},
        "activation_url": "https://m-abcdef.duosecurity.com/iphone/hunter2",
        "activation_barcode": "https://api-abcdef.duosecurity.com/frame/qr?value=duo%3A%2F%2Fhunter2",
        "activation_msg": "To activate: https://m-abcdef.duosecurity.com/hunter2",
        "notes": "click duo://hunter2-abc", "directory": {"service_account_password": "hunter2"},
        "phones": [{"phone_id": "DPX", "sms_passcodes_sent": false, "passcodes": ["hunter2"]}],
        "bypass_codes": ["hunter2"], "code": "hunter2", "password_change_required": true}"#;
    for kind in Inventory::ALL {
        let body = if kind.is_single() {
            format!(r#"{{"response": {object}, "stat": "OK"}}"#)
        } else {
            format!(r#"{{"metadata": {{}}, "response": [{object}], "stat": "OK"}}"#)
        };
        let page = page_from(kind, 0, &body).await.unwrap();
        let row = page.rows[0].get();
        assert!(!format!("{page:?}").contains("hunter2"), "{kind}: {row}");
        assert!(
            row.contains("DIX") && row.contains("DPX") && row.contains("password_change_required"),
            "{row}"
        );
    }
}

#[tokio::test]
async fn policies_and_applications_are_signed_by_version_5_whatever_else_is() {
    let server = serve_with(certificate(), |_, _| {
        answer(r#"{"metadata": {}, "response": [], "stat": "OK"}"#)
    })
    .await;
    let old = client_of(
        ClientConfig {
            scheme: Scheme::V2,
            account_id: Some("DA1".into()),
            ..config(&server)
        },
        &server,
    );
    for (kind, scheme) in [
        (Inventory::Users, Scheme::V2),
        (Inventory::Policies, Scheme::V5),
        (Inventory::Integrations, Scheme::V5),
    ] {
        old.inventory(kind, 0).await.unwrap();
        let params: Vec<(String, String)> = [
            ("account_id", "DA1".to_owned()),
            ("limit", kind.page_limit().to_string()),
            ("offset", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let signable = Signable {
            date: DATE,
            method: "GET",
            host: "127.0.0.1",
            path: kind.path(),
            params: &params,
            body: "",
            headers: &[],
        };
        let expected = signable.authorization(scheme, IKEY, &SECRET.to_owned().into());
        let heads = server.heads();
        assert!(heads.last().unwrap().contains(&expected), "{kind}");
    }
}

#[tokio::test]
async fn a_parents_key_lists_its_accounts_by_a_signed_body() {
    let server = serve_with(certificate(), |_, _| {
        answer(
            r#"{"response": [{"account_id": "DA1", "api_hostname": "api-1.duosecurity.com", "name": "One", "new": 1},
                {"account_id": "DA2", "api_hostname": "api-2.duosecurity.com"}, {"name": "no id"}, null], "stat": "OK"}"#,
        )
    })
    .await;
    let parent = client_of(
        ClientConfig {
            scheme: Scheme::V2,
            ..config(&server)
        },
        &server,
    );
    let accounts = parent.accounts().await.unwrap();
    let account = |id: &str, host: &str, name: &str| ChildAccount {
        account_id: id.into(),
        api_hostname: host.into(),
        name: name.into(),
    };
    assert_eq!(
        accounts,
        [
            account("DA1", "api-1.duosecurity.com", "One"),
            account("DA2", "api-2.duosecurity.com", "")
        ]
    );
    let request = server.seen.lock().unwrap()[0].clone();
    assert!(
        request.head.starts_with("POST /accounts/v1/account/list HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert!(request.head.contains("content-type: application/json\r\n"));
    assert_eq!(request.body, "{}");
    let signable = Signable {
        date: DATE,
        method: "POST",
        host: "127.0.0.1",
        path: "/accounts/v1/account/list",
        params: &[],
        body: "{}",
        headers: &[],
    };
    assert!(
        request
            .head
            .contains(&signable.authorization(Scheme::V5, IKEY, &SECRET.to_owned().into()))
    );
}

#[tokio::test]
async fn an_admin_apis_key_cannot_list_accounts() {
    let body = r#"{"code": 40301, "message": "Access forbidden", "message_detail": "Wrong integration type for this API.", "stat": "FAIL"}"#;
    let server = serve(vec![http("403 Forbidden", "", body)]).await;
    let error = client(&server).accounts().await.unwrap_err();
    assert_eq!(error.kind(), Kind::ApplicationType);
    assert!(error.to_string().contains("of type Accounts API"), "{error}");
}
