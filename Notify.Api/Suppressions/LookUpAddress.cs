namespace Notify.Api.Suppressions;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Notify.Domain.Channels;

/// <summary>
/// An address to look up: the body of <c>POST /v1/suppressions/lookup</c> and <c>POST /v1/address-preferences/lookup</c>.
/// </summary>
public sealed record LookUpAddress
{
    /// <summary>sms or email.</summary>
    [Required]
    public Channel? Channel { get; init; }

    /// <summary>The phone number with country code, or the email address.</summary>
    [Required]
    public string? Address { get; init; }
}

/// <summary>The shape of a look-up.</summary>
public sealed class LookUpAddressValidator : AbstractValidator<LookUpAddress>
{
    /// <summary>The rules.</summary>
    public LookUpAddressValidator()
    {
        RuleFor(s => s.Channel).Must(c => c is Channel.Sms or Channel.Email).WithMessage("must be sms or email");
        RuleFor(s => s.Address)
            .Must((s, a) => a is not null && AddressRules.Normal(s.Channel, a) is not null)
            .WithMessage(s => AddressRules.Rule(s.Channel));
    }
}
