namespace Notify.Api.ClientTokens;

using Microsoft.AspNetCore.Cors.Infrastructure;

/// <summary>
/// The web apps whose pages may call with client tokens from a browser (CORS). Endpoints without client tokens are closed to pages of
/// other origins: a page with an appSecret would have revealed it.
/// </summary>
/// <param name="Origins">Such as <c>https://app.example.com</c>; none: no page may.</param>
/// <remarks>Setting: <c>Notify:AppOrigins</c>, comma-separated.</remarks>
public sealed record AppOrigins(IReadOnlyList<string> Origins)
{
    /// <summary>The name of the policy of endpoints that are open to client tokens.</summary>
    public const string Policy = "apps";

    /// <summary>Reads them from configuration; every fault is added to <paramref name="faults"/>.</summary>
    public static AppOrigins Read(IConfiguration configuration, ICollection<string> faults)
    {
        var origins = (configuration["Notify:AppOrigins"] ?? "").Split(
            ',',
            StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries
        );
        foreach (var origin in origins.Where(o => !IsOrigin(o)))
            faults.Add(
                $"Notify:AppOrigins has \"{origin}\"; give origins such as https://app.example.com, without a path, comma-separated"
            );
        return new AppOrigins(origins);
    }

    /// <summary>Adds the policy.</summary>
    public void Configure(CorsOptions options) =>
        options.AddPolicy(
            Policy,
            p =>
                p.WithOrigins([.. Origins])
                    .WithMethods(HttpMethods.Get, HttpMethods.Post, HttpMethods.Put, HttpMethods.Delete)
                    .WithHeaders("Authorization", "Content-Type", "If-Match", "traceparent")
                    .WithExposedHeaders("ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy")
                    .SetPreflightMaxAge(TimeSpan.FromHours(1))
        );

    private static bool IsOrigin(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri)
        && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp)
        && uri.UserInfo.Length == 0
        && uri.GetLeftPart(UriPartial.Authority) == text;
}
