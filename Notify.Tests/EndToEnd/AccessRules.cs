namespace Notify.Tests.EndToEnd;

using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>
/// Routes × credentials × scopes × modes. The routes come from the OpenAPI document, so that an operation without a row here fails.
/// Authority: the HTTP contract, "Who may call", and docs/security.md.
/// </summary>
public sealed partial class AccessRules : SystemTest
{
    private static readonly string[] AllScopes = ["send", "recipients", "templates", "read", "audit", "operate", "admin"];

    // By operation: the scopes of which one is needed, whether a test client may call it, and what a client token must allow.
    private static readonly Dictionary<string, Rule> Rules = new(StringComparer.Ordinal)
    {
        ["RequestNotification"] = new("send", true, "send:otp"),
        ["RequestNotifications"] = new("send", true),
        ["CancelNotification"] = new("send", true),
        ["RescheduleNotification"] = new("send", true),
        ["AcknowledgeDelivery"] = new("send recipients", true, "ack"),
        ["RequestBroadcast"] = new("send", true),
        ["PauseBroadcast"] = new("send", true),
        ["ResumeBroadcast"] = new("send", true),
        ["CancelBroadcast"] = new("send", true),
        ["GetNotification"] = new("read", true),
        ["GetNotificationEvents"] = new("read", true),
        ["ListNotifications"] = new("read", true),
        ["ListBroadcasts"] = new("read", true),
        ["GetBroadcast"] = new("read", true),
        ["GetAnalytics"] = new("read", true),
        ["GetNotificationReceipts"] = new("audit", true),
        ["ListAccesses"] = new("audit", true),
        ["PutUser"] = new("recipients", false),
        ["GetUser"] = new("recipients", true),
        ["EraseUser"] = new("recipients", false),
        ["ErasePerson"] = new("recipients", false),
        ["ImportUsers"] = new("recipients", false),
        ["RegisterDevice"] = new("recipients", false, "devices"),
        ["RemoveDevice"] = new("recipients", false, "devices"),
        ["GetPreferences"] = new("recipients", true, "preferences"),
        ["PutPreferences"] = new("recipients", false, "preferences"),
        ["GetPreferencesHistory"] = new("recipients", true, "preferences"),
        ["ListUserNotifications"] = new("recipients", true, "history"),
        ["CreateClientToken"] = new("recipients", false),
        ["PutTopic"] = new("recipients", false),
        ["GetTopic"] = new("recipients", true),
        ["JoinTopic"] = new("recipients", false),
        ["LeaveTopic"] = new("recipients", false),
        ["AddSubscribers"] = new("recipients", false),
        ["ListSuppressions"] = new("recipients", true),
        ["SuppressAddress"] = new("recipients", false),
        ["LookUpSuppression"] = new("recipients", true),
        ["LiftSuppression"] = new("recipients", false),
        ["PutAddressPreferences"] = new("recipients", false),
        ["LookUpAddressPreferences"] = new("recipients", true),
        ["PutCategory"] = new("operate admin", false),
        ["ListCategories"] = new("recipients operate admin", true),
        ["GetCategory"] = new("recipients operate admin", true),
        ["ListTemplates"] = new("templates", true),
        ["GetTemplate"] = new("templates", true),
        ["ListTemplateVersions"] = new("templates", true),
        ["ArchiveTemplate"] = new("templates", false),
        ["PutTemplate"] = new("templates", false),
        ["PreviewTemplate"] = new("templates", true),
        ["TestTemplate"] = new("templates", true),
        ["PutLayout"] = new("templates", false),
        ["ListLayouts"] = new("templates", true),
        ["GetLayout"] = new("templates", true),
        ["GetQueues"] = new("operate", true),
        ["GetProviders"] = new("operate", true),
        ["ListAlerts"] = new("operate", true),
        ["ListVerifications"] = new("operate audit", true),
        ["ListDeadLetters"] = new("operate", true),
        ["ReplayDeadLetters"] = new("operate", false),
        ["CreateClient"] = new("admin", false),
        ["ListClients"] = new("admin", true),
        ["ChangeClientScopes"] = new("admin", false),
        ["RotateSecret"] = new("admin", false),
        ["RevokeSecret"] = new("admin", false),
        ["DisableClient"] = new("admin", false),
    };

    [Fact]
    public async Task Operation_asks_for_its_scope_and_for_no_other()
    {
        var only = new Dictionary<string, NotifyClient>(StringComparer.Ordinal);
        foreach (var scope in AllScopes)
            only[scope] = await Installation.NewClientAsync([scope]);
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        var wrong = new List<string>();

        foreach (var operation in await OperationsAsync(NewId("x")))
        {
            if ((await operation.CallAsync(nobody)).Status != 401)
                wrong.Add($"{operation} answers a caller without a key");
            foreach (var scope in AllScopes)
            {
                var reply = await operation.CallAsync(only[scope]);
                var expected = operation.Rule.Scopes.Contains(scope);
                // It needs send, too.
                var passed = reply.Code is not ("missing_scope" or "unauthorized") || (operation.Id == "TestTemplate" && expected);
                if (passed != expected)
                    wrong.Add($"{operation} with {scope}: {reply.Status} {reply.Code}");
            }
        }

        foreach (var client in only.Values)
            client.Dispose();
        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
    }

    [Fact]
    public async Task Test_client_changes_nothing_that_live_clients_share()
    {
        using var tester = await Installation.NewClientAsync(AllScopes, mode: "test");
        var wrong = new List<string>();

        foreach (var operation in await OperationsAsync(NewId("x")))
        {
            var reply = await operation.CallAsync(tester);
            if ((reply.Code != "test_mode") != operation.Rule.Tests)
                wrong.Add($"{operation}: {reply.Status} {reply.Code}");
        }

        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
    }

    [Fact]
    public async Task Client_token_opens_only_the_operations_of_its_grant()
    {
        var user = NewId("x");
        var grants = new[] { "devices", "preferences", "history", "ack", "send:otp" };
        var tokens = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var grant in grants)
            tokens[grant] = (
                await Client.PostAsync(
                    "/v1/client-tokens",
                    new
                    {
                        userId = user,
                        ttlSeconds = 600,
                        allow = new[] { grant },
                    }
                )
            ).Is(201)["token"]!;
        using var app = new NotifyClient(Installation.ApiUrl, null, null);
        var wrong = new List<string>();

        foreach (var operation in await OperationsAsync(user))
        {
            foreach (var grant in grants)
            {
                var reply = await operation.CallAsync(app, tokens[grant]);
                if ((reply.Code != "token_lacks") != (operation.Rule.Token == grant))
                    wrong.Add($"{operation} with {grant}: {reply.Status} {reply.Code}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
    }

    // Everything in paths is called by a name that nothing has.
    private async Task<List<Operation>> OperationsAsync(string thing)
    {
        var document = (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;
        var found = new List<Operation>();
        foreach (var (path, item) in document["paths"]!.AsObject())
        {
            foreach (var (method, operation) in item!.AsObject())
            {
                if (!path.StartsWith("/v1/", StringComparison.Ordinal))
                    continue;
                var id = operation!["operationId"]!.ToString();
                Assert.True(Rules.TryGetValue(id, out var rule), $"{id} ({method} {path}) has no row in this test: say who may call it");
                found.Add(
                    new Operation(
                        id,
                        new HttpMethod(method.ToUpperInvariant()),
                        PathParameter().Replace(path, thing),
                        operation["requestBody"] is not null,
                        rule!
                    )
                );
            }
        }

        Assert.Equal(Rules.Keys.Order(), found.Select(o => o.Id).Order());
        return found;
    }

    [GeneratedRegex(@"\{[^}]+\}")]
    private static partial Regex PathParameter();

    private sealed record Rule(string AnyOf, bool Tests, string? Token = null)
    {
        public string[] Scopes { get; } = AnyOf.Split(' ');
    }

    private sealed record Operation(string Id, HttpMethod Method, string Path, bool TakesBody, Rule Rule)
    {
        public Task<Reply> CallAsync(NotifyClient client, string? token = null) =>
            client.CallAsync(
                Method,
                Path,
                TakesBody ? new { } : null,
                r =>
                {
                    if (token is not null)
                        r.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
                }
            );

        public override string ToString() => $"{Id} ({Method} {Path})";
    }
}
