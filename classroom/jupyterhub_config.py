"""A JupyterHub for a class on one Linux machine: `jupyterhub -f classroom/jupyterhub_config.py`.

Each learner gets a JupyterLab with a writable copy of the course, limits, and an end when idle. What
differs from place to place is said by variables of the environment:

    HYPKIT_HUB_ROOT      where the hub keeps its files, and below it learners' (default: /srv/hypkit)
    HYPKIT_HUB_SIGN_IN   pam: accounts of this machine (default); shared: any name and one password
    HYPKIT_HUB_PASSWORD  that password, of 8 characters or more
    HYPKIT_HUB_ADMINS    with pam: the names of those who may look after the hub
    HYPKIT_HUB_PORT      (default: 8000). For the internet, put a proxy with TLS before it
    HYPKIT_HUB_MEMORY    of a learner, in MiB (default: 1024)
    HYPKIT_HUB_CPU       processors of a learner, such as 0.5 (default: 1); only systemd can limit that
    HYPKIT_HUB_IDLE      seconds until a server that nobody uses is ended (default: 3600)

With shared, all learners' servers run as the user who runs the hub: for a class whose members trust
each other, on a machine that holds nothing else. With pam each is their own user; and where systemd
runs the machine, it holds all of a learner's processes together to both limits. Elsewhere the limit of
memory is that of each process, and a learner's are less urgent than the hub.
"""

import os
import sys
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from limits import PROCESSES, limited, prepare_home  # noqa: E402

c = get_config()  # noqa: F821

root = Path(os.environ.get("HYPKIT_HUB_ROOT", "/srv/hypkit")).resolve()
sign_in = os.environ.get("HYPKIT_HUB_SIGN_IN", "pam")
memory = int(os.environ.get("HYPKIT_HUB_MEMORY", "1024")) << 20
processors = float(os.environ.get("HYPKIT_HUB_CPU", "1"))
idle = int(os.environ.get("HYPKIT_HUB_IDLE", "3600"))
port = int(os.environ.get("HYPKIT_HUB_PORT", "8000"))

# -- who signs in --

if sign_in == "shared":
    password = os.environ["HYPKIT_HUB_PASSWORD"]
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = password
    c.JupyterHub.spawner_class = limited(SimpleLocalProcessSpawner, memory)
    c.SimpleLocalProcessSpawner.home_dir_template = f"{root}/learners/{{username}}"
else:
    c.JupyterHub.authenticator_class = "pam"
    if Path("/run/systemd/system").exists():
        c.JupyterHub.spawner_class = "systemd"
        c.SystemdSpawner.mem_limit = memory
        c.SystemdSpawner.cpu_limit = processors
        c.SystemdSpawner.unit_extra_properties = {"TasksMax": str(PROCESSES)}
        c.SystemdSpawner.disable_user_sudo = True
    else:
        c.JupyterHub.spawner_class = limited(LocalProcessSpawner, memory)
    c.Authenticator.admin_users = set(os.environ.get("HYPKIT_HUB_ADMINS", "").split())
c.Authenticator.allow_all = True

# -- what a learner gets --

c.Spawner.default_url = "/lab/tree/lessons/00-start-here.ipynb"
c.Spawner.pre_spawn_hook = (
    prepare_home  # a copy of the course that is theirs; nothing is overwritten
)
c.Spawner.environment = {
    # One thread of BLAS each: a class shares the processors.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
c.Spawner.args = [
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--MappingKernelManager.cull_interval=120",
]
if sign_in == "shared" and not os.getuid():
    c.Spawner.args.append("--allow-root")  # in a container of its own
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300
c.JupyterHub.concurrent_spawn_limit = 60  # a class arrives at once; with fewer, some are sent away
c.JupyterHub.active_server_limit = 60  # beyond fifty learners: Kubernetes, see README.md

# -- the hub itself --

c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.command = os.environ.get(
    "HYPKIT_HUB_PROXY", "configurable-http-proxy"
).split()
c.JupyterHub.db_url = f"sqlite:///{root}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{root}/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = f"{root}/proxy.pid"
c.JupyterHub.cleanup_servers = True
c.JupyterHub.services = [
    {
        "name": "idle",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={idle}"],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "idle",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle"],
    }
]
