namespace Notify.Api.Clients;

using System.Collections.Immutable;
using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Notify.Api.Contract;
using Notify.Domain.Channels;
using Notify.Domain.Clients;

/// <summary>The limits within which a client may use its scopes.</summary>
public sealed record ClientGrants
{
    /// <summary>The limits of the scope <c>send</c>.</summary>
    public SendLimits? Send { get; init; }

    /// <summary>As the contract shows them; <c>null</c>: none were given.</summary>
    public static ClientGrants? Of(SendGrant? grant) =>
        grant is null
            ? null
            : new ClientGrants
            {
                Send = new SendLimits
                {
                    Categories = grant.Categories,
                    Channels = grant.Channels,
                    Required = grant.Required,
                    BroadcastToAll = grant.BroadcastToAll,
                },
            };

    /// <summary>As the client keeps them.</summary>
    public SendGrant? ToSend() =>
        Send is null
            ? null
            : new SendGrant(
                Send.Categories?.Distinct().ToImmutableList(),
                Send.Channels?.Distinct().ToImmutableList(),
                Send.Required ?? false,
                Send.BroadcastToAll ?? false
            );
}

/// <summary>The limits of the scope <c>send</c>.</summary>
public sealed record SendLimits
{
    /// <summary>The categories that it may send in: 1 to 100; absent: any.</summary>
    public IReadOnlyList<string>? Categories { get; init; }

    /// <summary>The channels that it may use; absent: any.</summary>
    public IReadOnlyList<Channel>? Channels { get; init; }

    /// <summary>
    /// Whether its notifications in required categories pass opt-outs and quiet hours. Absent: no. With <c>operate</c> or <c>admin</c>:
    /// yes.
    /// </summary>
    public bool? Required { get; init; }

    /// <summary>Whether its broadcasts may go to all users or by a filter. Absent: no. With <c>operate</c> or <c>admin</c>: yes.</summary>
    public bool? BroadcastToAll { get; init; }
}

/// <summary>Other powers for a client: the body of <c>PUT /v1/clients/{clientId}/scopes</c>.</summary>
public sealed record ChangePowers
{
    /// <summary>All that it may do from now on: some of send, recipients, templates, read, audit, operate, admin.</summary>
    [Required]
    public IReadOnlyList<string>? Scopes { get; init; }

    /// <summary>The limits within which it may use its scopes. Absent: the ordinary ones.</summary>
    public ClientGrants? Grants { get; init; }
}

/// <summary>The rules for scopes and grants, wherever they are given.</summary>
public static class PowerRules
{
    private const int MostCategories = 100;

    /// <summary>The rule for scopes.</summary>
    public static string ScopesRule => $"must be some of {string.Join(", ", Scopes.All)}";

    /// <summary>Whether scopes are some of those there are.</summary>
    public static bool AreScopes(IReadOnlyList<string>? scopes) => scopes is { Count: > 0 } && scopes.All(Scopes.All.Contains);

    /// <summary>The faults of grants, by field.</summary>
    public static IEnumerable<(string Field, string Fault)> Check(ClientGrants? grants, IReadOnlyList<string>? scopes)
    {
        if (grants?.Send is not { } send)
            yield break;
        if (scopes?.Contains(Scopes.Send) != true)
            yield return ("Grants.Send", "needs the scope send among scopes");
        if (send.Categories is { } categories && (categories.Count is 0 or > MostCategories || !categories.All(Identifiers.IsKey)))
            yield return ("Grants.Send.Categories", $"must be 1 to {MostCategories} categories, each {Identifiers.KeyRule}");
        if (send.Channels is { Count: 0 })
            yield return ("Grants.Send.Channels", "must name a channel; leave it out for any");
    }
}

/// <summary>The shape of other powers.</summary>
public sealed class ChangePowersValidator : AbstractValidator<ChangePowers>
{
    /// <summary>The rules.</summary>
    public ChangePowersValidator()
    {
        RuleFor(p => p.Scopes).Must(PowerRules.AreScopes).WithMessage(PowerRules.ScopesRule);
        RuleFor(p => p)
            .Custom(
                (powers, context) =>
                {
                    foreach (var (field, fault) in PowerRules.Check(powers.Grants, powers.Scopes))
                        context.AddFailure(field, fault);
                }
            );
    }
}
