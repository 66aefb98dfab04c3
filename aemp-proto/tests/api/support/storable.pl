# Perl's own Storable, for tests/storable.rs.
#
#   storable.pl images    prints packets, one a line: name, octets in hexadecimal, and what they are or why they are refused
#   storable.pl thaw      reads packets in hexadecimal, one a line, and prints what is in each
use strict;
use warnings;
no warnings 'recursion';
use Storable qw(nfreeze freeze thaw);
use JSON::PP ();
use Scalar::Util qw(blessed reftype weaken);

# One line for any data: what Perl cannot tell apart looks the same.
sub show {
    my ($data) = @_;
    return 'u' unless defined $data;
    if (blessed $data) {
        die "an object: $data" unless ref $data eq 'JSON::PP::Boolean';
        return $data ? 't' : 'f';
    }
    return '[' . join(',', map { show($_) } @$data) . ']' if ref $data eq 'ARRAY';
    if (ref $data eq 'HASH') {
        my %shown = map { (hex_of($_) => show($data->{$_})) } keys %$data;
        return '{' . join(',', map { "$_:$shown{$_}" } sort keys %shown) . '}';
    }
    return show($$data) if ref $data;
    return 's' . hex_of($data);
}

sub hex_of {
    my ($text) = @_;
    utf8::encode($text);
    return unpack 'H*', $text;
}

sub packet { my ($image) = @_; return pack('w', length $image) . $image }

sub line {
    my ($name, $octets, $expected) = @_;
    print join("\t", $name, unpack('H*', $octets), $expected), "\n";
}

# Data in both orders. Expected is what Perl itself makes of the image, or what is given.
sub good {
    my ($name, $data, $expected) = @_;
    local $Storable::canonical = 1;
    for (['network', nfreeze $data], ['native', freeze $data]) {
        my ($order, $image) = @$_;
        line("$name ($order)", packet($image), $expected // show(thaw $image));
    }
}

sub bad {
    my ($name, $data, $requirement) = @_;
    line("$name (network)", packet(nfreeze $data), "refused $requirement");
    line("$name (native)", packet(freeze $data), "refused $requirement");
}

{ package Thing; sub new { bless {a => 1}, shift } }
{ package Adding; use overload '+' => sub { 1 }, '""' => sub { 'x' }; }
{ package Hooked; sub STORABLE_freeze { 'x' } sub STORABLE_thaw { } }
{ package TiedArray; require Tie::Array; our @ISA = 'Tie::StdArray'; }
{ package TiedHash; require Tie::Hash; our @ISA = 'Tie::StdHash'; }
{ package TiedScalar; require Tie::Scalar; our @ISA = 'Tie::StdScalar'; }

sub images {
    my ($true, $false) = (JSON::PP::true(), JSON::PP::false());
    my @shared = (1, 2, {a => 'b'});
    my $text = "w\x{f6}rker \x{263a}";
    my @holes;
    $holes[3] = 1;
    my $scalar = 'once';
    my $immortal = sub { \@_ }->(undef, !!1, !!0, $scalar, $scalar);
    my $nested = ['x'];
    $nested = [$nested, {n => $nested}] for 1 .. 5;
    my $deep = [];
    $deep = [$deep] for 2 .. 500;

    good('nothing', []);
    good('small integers', [0, 1, -1, 127, 128, -128, -129]);
    good('integers', [255, 65536, 2147483647, -2147483648, 2147483648, -2147483649]);
    good('large integers', [4294967296, 9223372036854775807, -9223372036854775807, '18446744073709551616']);
    good('whole floats', [2.0, -3.0, 0.0]);
    good('floats', [1.5, -0.25, 0.1, 9 ** 9 ** 9, -9 ** 9 ** 9]);
    good('texts', ['', 'a', "\xe4\xf6", "\x{263a}", $text, "\0", 'x' x 255, 'x' x 256, "\x{263a}" x 100]);
    good('nulls', [undef, undef, 1]);
    good('holes', \@holes);
    good('an empty array and an empty map', [[], {}]);
    good('maps', [{a => 1, b => undef, c => [1]}, {"\x{263a}" => 1, v => 2}, {"\xe4" => 1}, {'' => 0}]);
    good('keys that were UTF-8', [do { my $key = "\xe4"; utf8::upgrade($key); +{$key => 1} }]);
    good('one array twice', [\@shared, \@shared, 'x', \@shared]);
    good('one map as value and element', [$shared[2], {x => $shared[2], y => $shared[2]}]);
    good('one scalar twice', [\$scalar, \$scalar]);
    # Before version 5.36 Perl does not tell its own bools from texts.
    good('arguments by alias', $immortal, '[u,t,f,s6f6e6365,s6f6e6365]');
    good('bools', [$true, $false, $true, {yes => $true, no => $false}, JSON::PP::true()]);
    good('references to scalars', [\1, \'x', \undef, \$text]);
    good('references to immortals', [\!!1, \!!0], '[t,f]');
    good('a network of shared arrays', $nested);
    good('500 levels', $deep);
    good('a message', ['', 'g_slave', {"'l" => {worker => ['127.0.0.1:14002']}, workers => {'worker#b' => {cores => 2, name => $text}}}]);
    good('many', [map { {n => $_, list => [1 .. $_ % 7]} } 1 .. 500]);

    my @cycle = (1);
    push @cycle, \@cycle;
    my %cycle;
    $cycle{self} = \%cycle;
    my $weak = [1];
    my $holder = [$weak, $weak];
    weaken($holder->[1]);
    tie my @tied, 'TiedArray';
    @tied = (1, 2);
    tie my %tied, 'TiedHash';
    %tied = (a => 1);
    tie my $tied, 'TiedScalar';
    $tied = 1;
    bad('an object', [Thing->new], 'STORABLE-9');
    bad('an object at the top', (bless [1], 'Thing'), 'STORABLE-9');
    bad('a scalar that is an object', [bless \(my $one = 1), 'Thing'], 'STORABLE-9');
    bad('an object with overloaded operators', [bless [], 'Adding'], 'STORABLE-9');
    bad('an object with a hook', [bless {}, 'Hooked'], 'STORABLE-9');
    bad('a bool that holds a text', [bless \(my $x = 'x'), 'JSON::PP::Boolean'], 'STORABLE-9');
    bad('a tied array', [\@tied], 'STORABLE-9');
    bad('a tied hash', [\%tied], 'STORABLE-9');
    bad('a tied scalar', [\$tied], 'STORABLE-9');
    bad('a version string', [v1.22.333], 'STORABLE-9');
    bad('a weak reference', $holder, 'STORABLE-9');
    bad('a reference to a reference', [\\1], 'STORABLE-6');
    bad('an array in itself', \@cycle, 'STORABLE-8');
    bad('a map in itself', [\%cycle], 'STORABLE-8');
    bad('a map at the top', {a => 1}, 'FRAME-5');
    bad('a text at the top', \'x', 'FRAME-5');
    bad('a reference at the top', \[1], 'FRAME-5');
    # Regular expressions can be stored since Storable 3.11, which makes them objects.
    bad('a regular expression', [qr/x/], 'STORABLE-9') if eval { nfreeze [qr/x/] };
    if (eval { require B::Deparse; local $Storable::Deparse = 1; nfreeze [sub { 1 }] }) {
        local $Storable::Deparse = 1;
        bad('code', [sub { 1 }], 'STORABLE-9');
    }
    if (eval { require Hash::Util; 1 }) {
        my %locked = (a => 1, b => 2);
        Hash::Util::lock_ref_keys(\%locked);
        bad('a hash with locked keys', [\%locked], 'STORABLE-9');
    }
    my $image = nfreeze [1, 'abc'];
    line('a length beyond every limit', pack('w', 2 ** 40) . $image, 'refused LIMIT-2');
    line('an array of 2^31-1 elements', packet(do { my $i = $image; substr $i, 3, 4, "\x7f\xff\xff\xff"; $i }), 'refused STORABLE-5');
    line('an array of a negative number', packet(do { my $i = $image; substr $i, 3, 4, "\x80\0\0\0"; $i }), 'refused STORABLE-5');
    line('a text longer than the image', packet(do { my $i = $image; substr $i, -4, 1, "\xff"; $i }), 'refused STORABLE-5');
    line('more behind the array', packet($image . 'x'), 'refused STORABLE-5');
    line('an image for a file', packet('pst0' . $image), 'refused STORABLE-4');
    # Each array has two references to the one before.
    my $bomb = [0];
    $bomb = [$bomb, $bomb] for 1 .. 60;
    line('2 to the power of 60 values', packet(nfreeze $bomb), 'refused STORABLE-19');
    my $long = 'x' x 1_000_000;
    line('a million octets, a hundred times', packet(nfreeze [map { \$long } 1 .. 100]), 'refused STORABLE-19');
}

if (($ARGV[0] // '') eq 'images') {
    images();
} elsif (($ARGV[0] // '') eq 'thaw') {
    while (my $line = <STDIN>) {
        chomp $line;
        my $octets = pack 'H*', $line;
        # As the reference finds the image.
        my $length = unpack 'w', $octets;
        my $image = substr $octets, length(pack 'w', $length);
        die "the length is wrong: $line" if length $image != $length;
        print show(thaw $image), "\n";
    }
} else {
    die "usage: $0 images|thaw\n";
}
