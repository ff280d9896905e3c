namespace Notify.Sandbox.WebPush;

using System.Text.Json;
using Notify.Sandbox.Keys;

/// <summary><c>/webpush/sample/</c>: a web app with a service worker, and the little that its backend has to do.</summary>
public static class SamplePage
{
    private const string Root = "/webpush/sample/";

    /// <summary>Maps the page, its scripts and its backend.</summary>
    public static void MapSamplePage(this IEndpointRouteBuilder routes)
    {
        routes.MapGet(
            Root.TrimEnd('/'),
            (HttpRequest request) => request.Path.Value!.EndsWith('/') ? Serve("index.html", "text/html") : Results.Redirect(Root)
        );
        routes.MapGet(Root + "app.js", () => Serve("app.js", "text/javascript"));
        routes.MapGet(Root + "sw.js", () => Serve("sw.js", "text/javascript"));
        routes.MapGet(Root + "vapid-public-key", (SandboxKeys keys) => Results.Text(keys.VapidPublicKey));
        routes.MapPost(Root + "subscriptions", Register);
    }

    // A real backend knows who is logged in, and passes this on to POST /v1/users/{userId}/devices.
    private static IResult Register(JsonElement subscription) => Results.Json(new { Platform = "web", Subscription = subscription });

    private static IResult Serve(string name, string type) =>
        Results.Stream(typeof(SamplePage).Assembly.GetManifestResourceStream($"webpush-sample/{name}")!, $"{type}; charset=utf-8");
}
