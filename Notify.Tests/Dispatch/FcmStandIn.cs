namespace Notify.Tests.Dispatch;

using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Notify.Dispatch.Providers.Fcm;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>A service account and a stand-in for what it talks to: FCM and the token endpoint on one server.</summary>
internal static class FcmStandIn
{
    private static readonly string Pem = NewPem();

    /// <summary>Gives out the tokens <c>t1</c>, <c>t2</c> … for an hour each.</summary>
    public static readonly Script Grant = (number, context) =>
        context.Response.WriteAsync($$"""{"access_token":"t{{number}}","expires_in":3599,"token_type":"Bearer"}""");

    /// <summary>Answers sends in one way and requests for a token in another; each script counts its own from 1.</summary>
    public static Script Serve(Script send, Script? token = null)
    {
        var (sends, tokens) = (0, 0);
        return (_, context) =>
            context.Request.Path == "/token"
                ? (token ?? Grant)(Interlocked.Increment(ref tokens), context)
                : send(Interlocked.Increment(ref sends), context);
    }

    /// <summary>The account's key as JSON.</summary>
    public static string Json(Uri tokenUri, Action<Dictionary<string, object?>>? change = null)
    {
        var json = new Dictionary<string, object?>
        {
            ["type"] = "service_account",
            ["project_id"] = "my-project",
            ["private_key_id"] = "key-1",
            ["private_key"] = Pem,
            ["client_email"] = "sender@my-project.iam.gserviceaccount.com",
            ["token_uri"] = tokenUri.ToString(),
        };
        change?.Invoke(json);
        return JsonSerializer.Serialize(json);
    }

    /// <summary>The account, its tokens to be had from a server.</summary>
    public static FcmAccount Account(Uri server)
    {
        var faults = new List<string>();
        var account = new FcmOptions { ServiceAccountJson = Json(new Uri(server, "/token")) }.LoadAccount("Providers:Fcm", faults);
        Assert.Empty(faults);
        return account!;
    }

    /// <summary>Returns the send requests, without those to the token endpoint.</summary>
    public static IReadOnlyList<ReceivedRequest> Sends(this ScriptedServer server) => [.. server.Received.Where(r => r.Target != "/token")];

    /// <summary>Returns the requests to the token endpoint.</summary>
    public static IReadOnlyList<ReceivedRequest> TokenRequests(this ScriptedServer server) =>
        [.. server.Received.Where(r => r.Target == "/token")];

    private static string NewPem()
    {
        using var key = RSA.Create(2048);
        return key.ExportPkcs8PrivateKeyPem();
    }
}
