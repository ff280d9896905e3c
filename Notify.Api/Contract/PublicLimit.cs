namespace Notify.Api.Contract;

using System.Globalization;
using System.Net;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.RateLimiting;
using Notify.Infrastructure.Hosting;

/// <summary>Limits requests of one address for what needs no authentication: links in messages, and the reference.</summary>
/// <remarks>
/// Setting: <c>Notify:PublicLimit</c>. A newsletter to a million addresses is opened by some hundred people a second at most.
/// </remarks>
public static class PublicLimit
{
    /// <summary>The policy's name, for <c>RequireRateLimiting</c>.</summary>
    public const string Policy = "public";

    /// <summary>The setting's section.</summary>
    public const string Section = "Notify:PublicLimit";

    /// <summary>The detail of a refusal.</summary>
    public const string TooMany = "Too many requests came from this address. Send the same request again after Retry-After.";

    /// <summary>The limit where none is set.</summary>
    public static readonly AddressLimit Default = new() { PerSecond = 200, Burst = 2_000 };

    /// <summary>Adds the limit to the services.</summary>
    public static IServiceCollection AddPublicLimit(this IServiceCollection services, AddressLimit limit) =>
        services.AddRateLimiter(options =>
        {
            options.AddPolicy<IPAddress>(Policy, limit.PartitionOf);
            options.OnRejected = (context, _) => new ValueTask(RefuseAsync(context, limit));
        });

    private static Task RefuseAsync(OnRejectedContext context, AddressLimit limit)
    {
        context.Lease.TryGetMetadata(MetadataName.RetryAfter, out var after);
        var wait = Math.Max(1, (int)Math.Ceiling(after.TotalSeconds));
        var headers = context.HttpContext.Response.Headers;
        var window = Math.Max(1, limit.Burst / Math.Max(1, limit.PerSecond));
        headers["RateLimit-Policy"] = string.Create(CultureInfo.InvariantCulture, $"\"address\";q={limit.Burst};w={window}");
        headers["RateLimit"] = string.Create(CultureInfo.InvariantCulture, $"\"address\";r=0;t={wait}");
        return Problem
            .Of(StatusCodes.Status429TooManyRequests, "rate_limited", TooMany, retryAfterSeconds: wait)
            .ExecuteAsync(context.HttpContext);
    }
}
