//! What can be asked for, as the document has it.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// A path, without parameters in it unless `id`.
pub struct Operation {
    /// With parameters in braces.
    pub path: &'static str,
    /// The name that generated clients give it.
    pub name: &'static str,
    /// A line about it.
    pub summary: &'static str,
    /// What else is to be known.
    pub description: &'static str,
    /// Its parameters.
    pub parameters: Vec<Value>,
    /// The schema of its answer.
    pub schema: Value,
    /// Whether it can be followed, by a bounded number of clients.
    pub has_events: bool,
}

/// The schema of a type; its parts go to the components of the document.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

impl Operation {
    /// As in the document, where `problem` is the schema of every other answer.
    pub fn into_value(self, problem: &Value) -> Value {
        let answer = |description: &str, schema: &Value| json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        let mut good = answer("The answer.", &self.schema);
        good["headers"] = json!({
            "narrows-node": { "description": "The node of the agent that answers.", "schema": { "type": "string" } },
            "narrows-agent": { "description": "Identifies the running agent.", "schema": { "type": "string" } },
        });
        let problems = [
            ("400", "A parameter is unknown or not valid."),
            ("401", "The address asks for credentials."),
            ("403", "The user of the cluster whose token it is may not get this."),
            ("405", "The method is not GET or HEAD."),
            ("404", "There is no such point, or no peer is the agent of this node."),
            ("421", "The API is not served at this address."),
            ("500", "The answer cannot be built."),
            ("502", "The agent of the node does not answer."),
            (
                "503",
                "The first tick has not ended yet; or as many clients follow, or ask for all nodes, as may; or the Kubernetes API server cannot be asked whose the token is.",
            ),
        ];
        if self.has_events {
            good["content"]["text/event-stream"] = json!({ "schema": event() });
        }
        let problems = problems
            .into_iter()
            .map(|(status, why)| (status.to_owned(), answer(why, problem)));
        let responses: Map<_, _> = [("200".to_owned(), good)].into_iter().chain(problems).collect();
        let node = json!({
            "name": "node", "in": "query", "schema": { "type": "string", "minLength": 1 },
            "description": "The answer of this node's agent, which this one asks; not for a stream.",
        });
        let parameters: Vec<_> = self.parameters.into_iter().chain([node]).collect();
        json!({
            "get": {
                "operationId": self.name,
                "summary": self.summary,
                "description": self.description,
                "parameters": parameters,
                "responses": responses,
            },
        })
    }
}

/// One server-sent event: that is what a schema of such a stream describes before OpenAPI 3.2.
fn event() -> Value {
    json!({
        "type": "object",
        "description": "One of the events of the stream, whose data is JSON.",
        "required": ["event", "data"],
        "properties": {
            "event": { "type": "string", "enum": ["start", "failure", "dropped", "lost"] },
            "data": { "type": "string", "contentMediaType": "application/json" },
            "id": { "type": "string", "description": "The `seq` up to which everything was sent, for `Last-Event-ID`." },
        },
    })
}
