# What a host has, but for caches, logs, and the backups that tools keep of the files they write.
echo "== packages"; dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
echo "== users"; getent passwd; getent group; cut -d: -f1 /etc/shadow /etc/gshadow
echo "== units"; systemctl list-unit-files --no-legend --plain
systemctl list-units --type=service --state=active --no-legend --plain | cut -d' ' -f1 \
  | grep -Ev '^(user|systemd-)'
echo "== files"
find /etc /usr /var/lib /root /home /opt /srv \
  \( -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd \
  -o -name .ansible -o -name .cache -o -name __pycache__ \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
echo "== contents"; find /etc -type f ! -name '*-' ! -name ld.so.cache -exec sha256sum {} + | sort -k2
