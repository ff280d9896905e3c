namespace Notify.Api.Clients;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Notify.Api.Contract;
using Notify.Domain.Clients;

/// <summary>A new client: the body of <c>POST /v1/clients</c>.</summary>
public sealed record CreateClient
{
    /// <summary>Its display name; 1 to 100 characters.</summary>
    [Required]
    public string? Name { get; init; }

    /// <summary>The mode. Messages of a <c>test</c> client go to the sandbox only. Absent: <c>live</c>.</summary>
    public ClientMode? Mode { get; init; }

    /// <summary>Its scopes: some of send, recipients, templates, read, audit, operate, admin.</summary>
    [Required]
    public IReadOnlyList<string>? Scopes { get; init; }

    /// <summary>
    /// The limits within which it may use its scopes. Absent: any category and channel, opt-outs apply, broadcasts to topics only.
    /// </summary>
    public ClientGrants? Grants { get; init; }

    /// <summary>How many notifications it may ask for each second, over longer; 0: any number. Absent: as configured.</summary>
    public int? AcceptPerSecond { get; init; }

    /// <summary>How many it may ask for at once; at least <c>acceptPerSecond</c>. Absent: as configured.</summary>
    public int? AcceptBurst { get; init; }
}

/// <summary>A new client's key; the secret is shown this once.</summary>
/// <param name="ClientId">The client; the same as its appKey.</param>
/// <param name="AppKey">The user name of HTTP Basic.</param>
/// <param name="AppSecret">The password of HTTP Basic.</param>
public sealed record CreatedClient(string ClientId, string AppKey, string AppSecret);

/// <summary>A client's new secret, shown this once.</summary>
/// <param name="AppKey">The client's key.</param>
/// <param name="AppSecret">The new secret.</param>
/// <param name="SecretId">By which it can be revoked.</param>
public sealed record CreatedSecret(string AppKey, string AppSecret, string SecretId);

/// <summary>The shape of a new client.</summary>
public sealed class CreateClientValidator : AbstractValidator<CreateClient>
{
    /// <summary>The rules.</summary>
    public CreateClientValidator()
    {
        RuleFor(c => c.Name).NotEmpty().MaximumLength(100).WithMessage("must be 1 to 100 characters");
        RuleFor(c => c.Scopes).Must(PowerRules.AreScopes).WithMessage(PowerRules.ScopesRule);
        RuleFor(c => c)
            .Custom(
                (client, context) =>
                {
                    foreach (var (field, fault) in PowerRules.Check(client.Grants, client.Scopes))
                        context.AddFailure(field, fault);
                }
            );
        RuleFor(c => c.AcceptPerSecond)
            .InclusiveBetween(0, AcceptLimitOptions.Highest)
            .WithMessage($"must be 0 (no limit) to {AcceptLimitOptions.Highest}");
        RuleFor(c => c.AcceptBurst)
            .InclusiveBetween(1, AcceptLimitOptions.Highest)
            .WithMessage($"must be 1 to {AcceptLimitOptions.Highest}");
        RuleFor(c => c.AcceptBurst)
            .Null()
            .When(c => c.AcceptPerSecond is null or 0)
            .WithMessage("needs an acceptPerSecond above 0 beside it");
    }
}
