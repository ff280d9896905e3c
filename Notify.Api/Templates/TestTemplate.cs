namespace Notify.Api.Templates;

using System.Text.Json;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Reference;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Json;

/// <summary>Whom to send a template to, to see it arrive: the body of <c>POST /v1/templates/{key}/test</c>.</summary>
public sealed record TestTemplate
{
    /// <summary>A registered user. Either this or <c>to</c>.</summary>
    public string? UserId { get; init; }

    /// <summary>A person who is not registered. Either this or <c>userId</c>.</summary>
    public RequestedRecipient? To { get; init; }

    /// <summary>The channels to use; absent: the template's.</summary>
    public IReadOnlyList<Channel>? Channels { get; init; }

    /// <summary>The language, BCP 47; absent: the user's own.</summary>
    public string? Locale { get; init; }

    /// <summary>The parameters, by name; an object.</summary>
    public JsonElement? Params { get; init; }
}

/// <summary>Sends a template for real, as any request does, under an event ID that is made here.</summary>
public static class TestTemplateEndpoint
{
    /// <summary>Maps <c>POST /v1/templates/{key}/test</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/templates/{templateKey}/test", TestAsync)
            .RequireScope(Scopes.Templates)
            .OpenToTests()
            .WithName("TestTemplate")
            .WithTags("Templates")
            .WithSummary("Send a template to see it arrive")
            .WithDescription(
                "A real notification, under an event ID that is made here: what is not opted out of, arrives. Needs the scope "
                    + "`send` too. Each call sends anew."
            )
            .Takes(
                "To an address",
                new TestTemplate
                {
                    To = new RequestedRecipient { Email = "name@example.com" },
                    Params = JsonSerializer.SerializeToElement(new { name = "Kim", orderUrl = "https://example.com/orders/125" }),
                }
            )
            .Answers(
                202,
                "It is durable.",
                new RequestedNotification("template-test-0b1f7c3e52ab4d0e9c416a7d2f90e513", NotificationStatus.Accepted, false),
                "Location"
            )
            .Fails(
                429,
                "rate_limited",
                "This client asks for more than its limit allows. Send the same request again after Retry-After: nothing was stored."
            )
            .FailsUngranted()
            .FailsNotFound("such template");

    private static async Task<IResult> TestAsync(
        string templateKey,
        HttpContext http,
        Notify.Delivery.Templates.TemplateBook book,
        TemplateRequests requests,
        RequestNotificationValidator validator,
        AcceptLimit limit
    )
    {
        var client = Callers.Of(http);
        if (!client.Scopes.Contains(Scopes.Send))
            return Problem.Of(
                StatusCodes.Status403Forbidden,
                "missing_scope",
                $"This client lacks the scope \"{Scopes.Send}\". Ask an administrator for it, or call with a client that has it."
            );
        var (test, problem) = await RequestBody.ReadAsync<TestTemplate>(http.Request);
        if (test is null)
            return problem!;
        if (await book.CurrentAsync(templateKey) is null)
            return Problem.NotFound("such template");
        var request = new RequestNotification
        {
            EventId = $"template-test-{Guid.NewGuid():N}",
            UserId = test.UserId,
            To = test.To,
            Channels = test.Channels,
            Template = new RequestedTemplate
            {
                Key = templateKey,
                Locale = test.Locale,
                Params = test.Params,
            },
        };
        var found = await validator.ValidateAsync(request, http.RequestAborted);
        if (!found.IsValid)
            return Problem.Invalid(
                found
                    .Errors.GroupBy(f => Mine(RequestBody.CamelCase(f.PropertyName)))
                    .ToDictionary(g => g.Key, g => g.Select(f => f.ErrorMessage).Distinct().ToArray())
            );
        if (limit.Take(http.Response, client, 1) is { } over)
            return over;
        var (_, faults, hindrance) = await requests.AcceptAsync(
            client,
            request,
            JsonSerializer.SerializeToElement(request, NotifyJson.Options),
            aborted: http.RequestAborted
        );
        if (hindrance is not null)
            return hindrance.ToResult();
        return faults is null
            ? Results.Accepted(
                $"/v1/notifications/{request.EventId}",
                new RequestedNotification(request.EventId, NotificationStatus.Accepted, false)
            )
            : Problem.Invalid(faults.ToDictionary(f => Mine(f.Key), f => f.Value));
    }

    // A request's field as this body calls it.
    private static string Mine(string field) =>
        field.StartsWith("template.", StringComparison.Ordinal) ? field["template.".Length..] : field;
}
