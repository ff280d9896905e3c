namespace Notify.Infrastructure.Hosting;

using System.ComponentModel;
using System.Reflection;
using Microsoft.Extensions.Configuration;

/// <summary>Reads settings that more than one room needs.</summary>
public static class ConfigurationReading
{
    /// <summary>Reads a section; a value that is not of its setting's type becomes a fault.</summary>
    public static T Read<T>(this IConfigurationSection section, ICollection<string> faults)
        where T : new()
    {
        var readable = new ConfigurationBuilder()
            .AddInMemoryCollection(section.GetChildren().Where(IsReadable).SelectMany(s => s.AsEnumerable()))
            .Build();
        return readable.GetSection(section.Path).Get<T>() ?? new T();

        bool IsReadable(IConfigurationSection setting)
        {
            if (
                setting.Value is null
                || typeof(T).GetProperty(setting.Key, BindingFlags.Public | BindingFlags.Instance | BindingFlags.IgnoreCase)?.PropertyType
                    is not { } type
            )
                return true;
            try
            {
                TypeDescriptor.GetConverter(type).ConvertFromInvariantString(setting.Value);
                return true;
            }
            catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or NotSupportedException)
            {
                type = Nullable.GetUnderlyingType(type) ?? type;
                faults.Add(
                    $"{setting.Path} is \"{setting.Value}\"; give {(type == typeof(TimeSpan) ? "a time such as 00:00:15" : type == typeof(int) ? "a whole number" : type.IsEnum ? $"one of {string.Join(", ", Enum.GetNames(type))}" : $"a value of the kind {type.Name}")}"
                );
                return false;
            }
        }
    }

    /// <summary>The database's address.</summary>
    public static string Database(this IConfiguration configuration) => configuration.GetConnectionString("notify")!;

    /// <summary>The connection string of the database's owner, for migrations and rebuilds; the host's own where none is set.</summary>
    public static string OwnersDatabase(this IConfiguration configuration) =>
        configuration.GetConnectionString("notify_owner") is { Length: > 0 } owner ? owner : configuration.Database();

    /// <summary>How long a host may be silent before its work is taken over. Setting <c>Notify:Takeover</c>; default 15 s.</summary>
    public static TimeSpan HostTimeout(this IConfiguration configuration) =>
        configuration.GetValue("Notify:Takeover", TimeSpan.FromSeconds(15));
}
