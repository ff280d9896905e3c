namespace Notify.Tests.Support;

using Npgsql;

/// <summary>The database roles of hosts, as an installation has them: a migration makes them, and each host logs in as its own.</summary>
internal static class HostRoles
{
    /// <summary>The setting of a host's connection.</summary>
    public const string Setting = "ConnectionStrings__notify";

    /// <summary>The setting of the owner's connection.</summary>
    public const string OwnersSetting = "ConnectionStrings__notify_owner";

    private const string Password = "of-a-test";
    private static readonly string[] Hosts = ["Api", "Dispatch", "Projections"];

    /// <summary>The connection of a host to a database.</summary>
    /// <param name="owner">The owner's connection string.</param>
    /// <param name="host">Api, Dispatch or Projections.</param>
    public static string Connection(string owner, string host) =>
        new NpgsqlConnectionStringBuilder(owner) { Username = $"notify_{host.ToLowerInvariant()}", Password = Password }.ConnectionString;

    /// <summary>An environment that has the owner's connection, for a host: it logs in as its role.</summary>
    /// <param name="isCommand">Whether it is a command that may need the owner.</param>
    public static Dictionary<string, string> For(IReadOnlyDictionary<string, string> environment, string host, bool isCommand = false)
    {
        var own = new Dictionary<string, string>(environment);
        if (!Hosts.Contains(host) || !own.TryGetValue(Setting, out var owner) || own.ContainsKey(OwnersSetting))
            return own;
        own[Setting] = Connection(owner, host);
        if (isCommand)
            own[OwnersSetting] = owner;
        return own;
    }
}
