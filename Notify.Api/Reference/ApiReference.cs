namespace Notify.Api.Reference;

using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Notify.Api.Contract;
using Notify.Infrastructure.Hosting;
using Scalar.AspNetCore;

/// <summary>The API's description: OpenAPI at <c>/openapi/v1.json</c>, and at <c>/docs</c> a page to read and try it with.</summary>
public static class ApiReference
{
    /// <summary>The security scheme's name.</summary>
    public const string Basic = "basic";

    /// <summary>The security scheme of client tokens.</summary>
    public const string Bearer = "bearer";

    /// <summary>Descriptions of the names in paths, with an example of each.</summary>
    public static readonly IReadOnlyDictionary<string, (string Description, string Example)> PathParameters = new Dictionary<
        string,
        (string, string)
    >(StringComparer.Ordinal)
    {
        ["eventId"] = ("The event ID that the client chose.", "order-123-shipped"),
        ["userId"] = ("The user's ID, chosen by you: 1 to 128 of A-Z a-z 0-9 . _ ~ : @ + -.", "u-42"),
        ["deviceId"] = ("The device's ID, as its registration answered.", "d_7kQ2mX0aVbN3sT9yLpR4wE"),
        ["category"] = ("The category's key: 1 to 64 of a-z 0-9 . _ -.", "weekly-offers"),
        ["suppressionId"] = ("The suppression's ID, as its making or a list answered.", "sms_cV5jFq9d0y2Xb7mQk1nT4zL8wRaEoHu3sG6iPvNtYcM"),
        ["topic"] = ("The topic's key, chosen by you: 1 to 64 of a-z 0-9 . _ -.", "club-news"),
        ["broadcastId"] = ("The broadcast ID that the client chose.", "spring-sale-1"),
        ["clientId"] = ("The client's ID, which is its appKey.", "c_k3v9x2m7q4w8z5ab"),
        ["token"] = ("The token of the email's link.", "AQsffD5Sq40OnEFqfS-Q5RMAAAAAAAAAAAAAAAA"),
        ["templateKey"] = ("The template's key, chosen by you: 1 to 64 of a-z 0-9 . _ -, first a letter or digit.", "order-shipped"),
        ["layoutKey"] = ("The layout's key, chosen by you: 1 to 64 of a-z 0-9 . _ -, first a letter or digit.", "letter"),
        ["secretId"] = ("The secret's ID, as its making answered.", "s_h7k2m9qa"),
    };

    /// <summary>Headers of answers.</summary>
    public static readonly IReadOnlyDictionary<string, (string Description, string Example)> Headers = new Dictionary<
        string,
        (string, string)
    >(StringComparer.Ordinal)
    {
        ["Location"] = ("Where to ask about what was made.", "/v1/notifications/order-123-shipped"),
        ["ETag"] = ("Names what is answered: give it as `If-Match` to change only that.", "\"Zk3mQ9tV0c7H1pLx\""),
        ["Retry-After"] = ("Seconds to wait before the same request is sent again.", "2"),
        ["WWW-Authenticate"] = ("How to authenticate.", "Basic realm=\"notify\", charset=\"UTF-8\""),
        ["RateLimit-Policy"] = ("The limit that holds for this client: how many in how many seconds.", "\"accept\";q=1000;w=1"),
        ["RateLimit"] = ("What is left of it, and for how many seconds.", "\"accept\";r=0;t=1"),
    };

    // The page sets itself up by a script and styles within it, and calls this host alone.
    private const string PagePolicy =
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        + "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

    private const string Introduction = """
        Notify sends notifications for other services: each is asked for once, under an event ID that you choose, and is sent once.

        **Start**: `POST /v1/notifications`. The answer 202 means that it is durable. Send the same request again as often as you like: nothing is sent twice. `GET /v1/notifications/{eventId}` tells what became of it, `…/events` how.

        **Authenticate** by HTTP Basic with your client's appKey and appSecret. A client has scopes; each operation names the one that it needs. An app authenticates by a client token instead, which its service makes for it (`POST /v1/client-tokens`). What a client in `test` mode sends goes to the sandbox and nowhere else.

        **Errors** are problem documents (RFC 9457). `code` is stable, `detail` says what is wrong and what to do, `errors` names every fault of a request by field, `traceId` helps the operators. After 429 and 503 send the same request again when `Retry-After` has passed.

        **Conventions**: JSON in camelCase, UTF-8; unknown fields are refused. Times are ISO 8601, answered in UTC. Fields without a value are absent.
        """;

    private static readonly (string Name, string Description)[] Tags =
    [
        ("Send", "Request notifications, withdraw and move them."),
        ("Ask", "What became of a notification, and every event on the way."),
        ("Recipients", "Users, their devices, what they want to receive, and addresses that must not be used."),
        ("Templates", "What notifications say: in Liquid, per channel and language, in versions."),
        ("Operate", "Queues and dead letters."),
        ("Clients", "Who may call, and their secrets."),
        ("Public", "What links in messages lead to; no authentication."),
        ("Health", "For load balancers, orchestrators and Prometheus."),
    ];

    /// <summary>Adds the document.</summary>
    public static void Configure(OpenApiOptions options)
    {
        options.AddOperationTransformer<OperationNotes>();
        options.AddSchemaTransformer<SchemaNotes>();
        options.AddDocumentTransformer(
            (document, _, _) =>
            {
                document.Info = new OpenApiInfo
                {
                    Title = "Notify",
                    Version = "v1",
                    Description = Introduction,
                };
                document.Servers = []; // the address that the document was read from, whatever proxy stands before it
                document.Components ??= new OpenApiComponents();
                document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
                {
                    [Basic] = new OpenApiSecurityScheme
                    {
                        Type = SecuritySchemeType.Http,
                        Scheme = "basic",
                        Description = "appKey as the user name, appSecret as the password.",
                    },
                    [Bearer] = new OpenApiSecurityScheme
                    {
                        Type = SecuritySchemeType.Http,
                        Scheme = "bearer",
                        BearerFormat = "JWT",
                        Description = "A client token, for a user's app: see POST /v1/client-tokens.",
                    },
                };
                HostEndpoints.AddTo(document);
                SchemaNotes.WithoutNulls(document);
                var described = Tags.ToDictionary(t => t.Name, t => t.Description, StringComparer.Ordinal);
                var used = document
                    .Paths.Values.Where(p => p.Operations is not null)
                    .SelectMany(p => p.Operations!.Values)
                    .Where(o => o.Tags is not null)
                    .SelectMany(o => o.Tags!)
                    .Select(t => t.Name!)
                    .Distinct();
                document.Tags = new SortedSet<OpenApiTag>(
                    used.Select(name => new OpenApiTag { Name = name, Description = described.GetValueOrDefault(name) }),
                    Comparer<OpenApiTag>.Create((a, b) => Rank(a).CompareTo(Rank(b)))
                );
                return Task.CompletedTask;
            }
        );

        static int Rank(OpenApiTag tag) =>
            Array.FindIndex(Tags, t => t.Name == tag.Name) is >= 0 and var known ? known : 100 + (tag.Name![0] * 256) + tag.Name[^1];
    }

    /// <summary>Serves the document and the page. The page and its script come from this host alone: no CDN, no fonts, no
    /// telemetry.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet(ReferenceDocument.Path, (HttpContext http, ReferenceDocument document) => document.AnswerAsync(http))
            .ExcludeFromDescription()
            .RequireRateLimiting(PublicLimit.Policy);
        app.MapScalarApiReference(
                "/docs",
                o =>
                    o.WithTitle("Notify")
                        .DisableDefaultFonts()
                        .DisableTelemetry()
                        .DisableAgent()
                        .DisableMcp()
                        .HideDeveloperTools()
                        .HideClientButton()
                        .AddPreferredSecuritySchemes(Basic)
                        .WithDefaultHttpClient(ScalarTarget.Shell, ScalarClient.Curl)
            )
            .WithMetadata(new ContentPolicy(PagePolicy));
    }
}
